// Decides, from what is known and nothing else, which rows a recipient gets: the steps, where they begin, when they are looked at again.
import type { Whereabouts } from '../cluster/presence.ts';
import { channelName } from '../eventlog/topics.ts';
import {
  Channel,
  DeliveryState,
  EscalationCondition,
  type Lane,
} from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Inputs, PlannedRow, Step } from '../storage/delivery-row.ts';
import type { Recipient } from '../storage/recipients.ts';
import type { Asked, Policy } from './policy.ts';

const S = DeliveryState;

/** What the plan has to know of a notification. */
export interface Planned {
  id: string;
  lane: Lane;
  policy: Policy;
  expiresAtMs: number;
}

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

/** How long a step may take when nobody says so: a phone in a pocket is looked at less often than a screen. */
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

/** All streams are in the background, as far as that is known. */
const inBackground = ({ edges, foreground, known }: Whereabouts): boolean =>
  known && edges.length > 0 && !foreground;

/**
 * The steps that reach the recipient. A push that goes out at once because the app is in the background comes right after the
 * item, so that what stood between them is not passed over; where the step after the item waits for a read, the sender
 * has said what counts.
 */
function stepsOf(
  asked: readonly Asked[],
  recipient: Recipient,
  presence: Whereabouts,
  policy: Policy,
): { steps: Step[]; pushed: boolean } {
  const reaching = asked.filter(({ channel }) => reaches(recipient, channel));
  const [first, second, ...rest] = reaching;
  const push = reaching.find(({ channel }) => channel === Channel.PUSH);
  const pushed =
    first?.channel === Channel.IN_APP &&
    push !== undefined &&
    [push, second].every((step) => step?.condition !== EscalationCondition.NOT_READ) &&
    policy.background === 'stream_and_push' &&
    inBackground(presence);
  if (!pushed || !second || push === second) return { steps: timed(reaching), pushed };
  return { steps: timed([first, push, second, ...rest.filter((one) => one !== push)]), pushed };
}

type Start = Pick<PlannedRow, 'state' | 'reason' | 'step'> & { dueAtMs: number | undefined };

function start(
  { steps, pushed }: { steps: readonly Step[]; pushed: boolean },
  presence: Whereabouts,
  { expiresAtMs, policy }: Planned,
  nowMs: number,
): Start {
  const [first, second] = steps;
  if (!first) return { state: S.SKIPPED, reason: 'NO_ADDRESS', step: 0, dueAtMs: undefined };
  if (nowMs >= expiresAtMs) return { state: S.EXPIRED, reason: 'EXPIRED', step: 0, dueAtMs: undefined };
  const due = (atMs: number) => Math.max(nowMs, Math.min(atMs, expiresAtMs));
  const queued = (reason: string, step: number): Start => ({
    state: S.QUEUED,
    reason,
    step,
    dueAtMs: due(nowMs + limits.reconcileMs),
  });
  const waiting = (reason: string, atMs: number): Start => ({
    state: S.WAITING,
    reason,
    step: 0,
    dueAtMs: due(atMs),
  });
  if (first.channel !== Channel.IN_APP) return queued('PLANNED', 0);
  if (!second) return { state: S.SENT, reason: 'STORED', step: 0, dueAtMs: undefined };
  // Who is away may come back and read in time, so that only the time counts.
  if (first.until === 'read') return waiting('UNREAD', nowMs + first.afterMs);
  if (pushed) return queued('BACKGROUND', 1);
  if (presence.edges.length > 0) return waiting('ONLINE', nowMs + first.afterMs);
  // Nobody is taken for absent because nobody knows: the edges are asked, and the ack deadline decides.
  if (!presence.known) return waiting('UNKNOWN', nowMs + first.afterMs);
  const lingerEndsMs = (presence.vanishedAtMs ?? Number.NEGATIVE_INFINITY) + policy.lingerMs;
  if (lingerEndsMs > nowMs) return waiting('LINGER', Math.min(lingerEndsMs, nowMs + policy.lingerMs));
  return queued('OFFLINE', 1);
}

/**
 * What was known and which rule decided, for Explain: the row's own reason is that of its last move. What goes without saying
 * is left out: that it is known, the default plan, and that somebody who is not here does not look.
 */
function inputsOf(
  decided: string,
  asked: readonly Asked[],
  recipient: Recipient,
  presence: Whereabouts,
  policy: Policy,
  nowMs: number,
): Inputs {
  const leftOut = asked.filter(({ channel }) => !reaches(recipient, channel));
  const online = presence.edges.length > 0;
  return {
    decided,
    asked: asked.map(({ channel }) => channelName(channel)).join(' '),
    ...(policy.planFrom !== 'default' && { plan_from: policy.planFrom }),
    online,
    ...(online && { foreground: presence.foreground }),
    ...(!presence.known && { known: false }),
    devices: recipient.devices,
    email: recipient.email,
    phone: recipient.phone,
    ...(inBackground(presence) && {
      background: policy.background,
      background_from: policy.backgroundFrom,
    }),
    ...(presence.vanishedAtMs !== undefined && {
      vanished_ms: Math.max(0, nowMs - presence.vanishedAtMs),
      linger_ms: policy.lingerMs,
      linger_from: policy.lingerFrom,
    }),
    ...(leftOut.length > 0 && {
      left_out: leftOut.map(({ channel }) => `${channelName(channel)} NO_ADDRESS`).join(', '),
    }),
  };
}

/**
 * The rows of one recipient: one, or with `channels` one for each. A row's key is the first channel that was *asked* for, so that
 * a record that comes again finds the row whatever addresses the user has by then. Steps without an address are left out; a user
 * who is not here, or who does not look and is to be pushed, goes straight on from the in-app step, whose item is stored and
 * shown all the same, unless the step waits for a read.
 */
export function plan(
  planned: Planned,
  recipient: Recipient,
  presence: Whereabouts,
  nowMs: number,
): PlannedRow[] {
  const { policy } = planned;
  return policy.plans.map((asked) => {
    const taken = stepsOf(asked, recipient, presence, policy);
    const { steps } = taken;
    const { state, reason, step, dueAtMs } = start(taken, presence, planned, nowMs);
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
      inputs: inputsOf(reason, asked, recipient, presence, policy, nowMs),
    };
  });
}
