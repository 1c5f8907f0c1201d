// What of the accepted has reached the devices it was meant for, counted as it comes.
import type { Accepted, Device, History, Seen } from './history.ts';

/** One notification, one device: what must be seen once and acknowledged. */
export interface Expected {
  accepted: Accepted;
  device: Device;
  seen: Seen | undefined;
}

const forApp = ({ kind }: Accepted) => kind === 'in_app' || kind === 'escalating';

/** Everything that devices must have been shown: each notification to a user goes to all devices of the user. */
export function expectedOf(history: History): Expected[] {
  const devices = Map.groupBy(history.devices, ({ userId }) => userId);
  const seen = new Map<string, Seen>();
  for (const one of history.seen) {
    const key = `${one.device} ${one.notificationId}`;
    if (!seen.has(key)) seen.set(key, one);
  }
  return history.accepted.filter(forApp).flatMap((accepted) =>
    (devices.get(accepted.userId) ?? []).map((device) => ({
      accepted,
      device,
      seen: seen.get(`${device.id} ${accepted.notificationId}`),
    })),
  );
}

/** Mail that must have been sent, and was not. */
export function unmailed(history: History): Accepted[] {
  const mailed = new Set(history.mails.map(({ notificationId }) => notificationId));
  return history.accepted.filter((one) => !forApp(one) && !mailed.has(one.notificationId));
}

/** Whether anything is still on its way to a handler, an edge's answer to an Ack, or the mail server. */
export const allArrived = (history: History): boolean =>
  unmailed(history).length === 0 && expectedOf(history).every(({ seen }) => seen?.ackedMs !== undefined);
