// Decides, from what is known and nothing else, which rows a recipient gets: the steps, where they begin, when they are looked at again.
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Whereabouts } from '../cluster/presence.ts';
import { channelName } from '../eventlog/topics.ts';
import {
  Channel,
  DeliveryState,
  EscalationCondition,
  type Lane,
  type Notification,
} from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Inputs, PlannedRow, Step } from '../storage/delivery-row.ts';
import type { Recipient } from '../storage/recipients.ts';

const S = DeliveryState;

/** What the plan has to know of a notification. */
export interface Planned {
  id: string;
  lane: Lane;
  notification: Notification;
  expiresAtMs: number;
}

/** A step that was asked for; `afterMs` is how long the step before it may take, if the sender says so. */
interface Asked {
  channel: Channel;
  afterMs: number | undefined;
  condition: EscalationCondition;
}

const DEFAULT_CHANNELS: readonly Channel[] = [Channel.IN_APP, Channel.PUSH, Channel.EMAIL];

const askedStep = (channel: Channel): Asked => ({
  channel,
  afterMs: undefined,
  condition: EscalationCondition.NOT_DELIVERED,
});

/** The plans that were asked for: several at once for `channels`, else one with steps that follow one another. */
function askedPlans({ channels, escalation }: Notification): Asked[][] {
  if (channels.length > 0) return [...new Set(channels)].map((channel) => [askedStep(channel)]);
  if (escalation.length === 0) return [DEFAULT_CHANNELS.map(askedStep)];
  const seen = new Set<Channel>();
  const steps: Asked[] = [];
  for (const { channel, after, condition } of escalation) {
    if (seen.has(channel)) continue;
    seen.add(channel);
    steps.push({ channel, afterMs: after && durationMs(after), condition });
  }
  return [steps];
}

/** Whether the plan asks for addresses at all; an in-app blast need not read them. */
export const needsAddresses = (notification: Notification): boolean =>
  askedPlans(notification).some((steps) => steps.some((step) => step.channel !== Channel.IN_APP));

function reaches(recipient: Recipient, channel: Channel): boolean {
  switch (channel) {
    case Channel.IN_APP:
      return true;
    case Channel.PUSH:
      return recipient.devices > 0;
    case Channel.EMAIL:
      return recipient.email;
    case Channel.SMS:
      return recipient.phone;
    default:
      return false;
  }
}

/** How long a step may take when the sender does not say: a phone in a pocket is looked at less often than a screen. */
const patienceMs = (channel: Channel): number =>
  channel === Channel.IN_APP ? limits.ackDeadlineMs : limits.providerAckDeadlineMs;

/** Each step gets the time after which the one that follows it was asked for; the last one has none. */
function timed(asked: readonly Asked[]): Step[] {
  return asked.map(({ channel }, index) => {
    const following = asked[index + 1];
    return {
      channel,
      afterMs: following ? (following.afterMs ?? patienceMs(channel)) : 0,
      until: following?.condition === EscalationCondition.NOT_READ ? 'read' : 'ack',
    };
  });
}

type Start = Pick<PlannedRow, 'state' | 'reason' | 'step'> & { dueAtMs: number | undefined };

function start(steps: readonly Step[], presence: Whereabouts, planned: Planned, nowMs: number): Start {
  const [first, second] = steps;
  if (!first) return { state: S.SKIPPED, reason: 'NO_ADDRESS', step: 0, dueAtMs: undefined };
  if (nowMs >= planned.expiresAtMs)
    return { state: S.EXPIRED, reason: 'EXPIRED', step: 0, dueAtMs: undefined };
  const due = (atMs: number) => Math.max(nowMs, Math.min(atMs, planned.expiresAtMs));
  if (first.channel !== Channel.IN_APP)
    return { state: S.QUEUED, reason: 'PLANNED', step: 0, dueAtMs: due(nowMs + limits.reconcileMs) };
  if (!second) return { state: S.SENT, reason: 'STORED', step: 0, dueAtMs: undefined };
  // Who is away may come back and read in time, so that only the time counts.
  if (first.until === 'read')
    return { state: S.WAITING, reason: 'UNREAD', step: 0, dueAtMs: due(nowMs + first.afterMs) };
  if (presence.edges.length > 0)
    return { state: S.WAITING, reason: 'ONLINE', step: 0, dueAtMs: due(nowMs + first.afterMs) };
  const lingerEndsMs = (presence.vanishedAtMs ?? Number.NEGATIVE_INFINITY) + limits.lingerMs;
  if (lingerEndsMs > nowMs)
    return {
      state: S.WAITING,
      reason: 'LINGER',
      step: 0,
      dueAtMs: due(Math.min(lingerEndsMs, nowMs + limits.lingerMs)),
    };
  return { state: S.QUEUED, reason: 'OFFLINE', step: 1, dueAtMs: due(nowMs + limits.reconcileMs) };
}

function inputsOf(
  asked: readonly Asked[],
  recipient: Recipient,
  presence: Whereabouts,
  nowMs: number,
): Inputs {
  const leftOut = asked.filter(({ channel }) => !reaches(recipient, channel));
  return {
    asked: asked.map(({ channel }) => channelName(channel)).join(' '),
    online: presence.edges.length > 0,
    devices: recipient.devices,
    email: recipient.email,
    phone: recipient.phone,
    ...(presence.vanishedAtMs !== undefined && { vanished_ms: Math.max(0, nowMs - presence.vanishedAtMs) }),
    ...(leftOut.length > 0 && {
      left_out: leftOut.map(({ channel }) => `${channelName(channel)} NO_ADDRESS`).join(', '),
    }),
  };
}

/**
 * The rows of one recipient: one, or with `channels` one for each. A row's key is the first channel that was *asked* for, so that
 * a record that comes again finds the row whatever addresses the user has by then. Steps without an address are left out; a user
 * who is not here goes straight on from the in-app step, whose item is stored all the same, unless the step waits for a read.
 */
export function plan(
  planned: Planned,
  recipient: Recipient,
  presence: Whereabouts,
  nowMs: number,
): PlannedRow[] {
  return askedPlans(planned.notification).map((asked) => {
    const steps = timed(asked.filter(({ channel }) => reaches(recipient, channel)));
    const { state, reason, step, dueAtMs } = start(steps, presence, planned, nowMs);
    const key = asked[0]!.channel;
    return {
      notificationId: planned.id,
      tenant: recipient.tenant,
      userId: recipient.userId,
      channel: key,
      lane: planned.lane,
      state,
      reason,
      steps,
      step,
      stepChannel: steps[step]?.channel ?? key,
      dueAtMs,
      inInbox: steps[0]?.channel === Channel.IN_APP && state !== S.EXPIRED,
      inputs: inputsOf(asked, recipient, presence, nowMs),
    };
  });
}
