// Which rules go for a notification: what it says itself, else what its category says, else the mesh's own.
import { durationMs } from '@bufbuild/protobuf/wkt';
import { BackgroundPolicy, type Category } from '../gen/carillon/v1/admin_pb.ts';
import {
  Channel,
  type Escalation,
  EscalationCondition,
  Lane,
  type Notification,
} from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';

/** A step that was asked for; `afterMs` is how long the step before it may take, if anybody says so. */
export interface Asked {
  channel: Channel;
  afterMs: number | undefined;
  condition: EscalationCondition;
}

export interface Policy {
  /** The plans that were asked for: several at once for `channels`, else one with steps that follow one another. */
  plans: readonly (readonly Asked[])[];
  planFrom: 'notification' | 'category' | 'default';
  lingerMs: number;
  lingerFrom: 'category' | 'default';
  /** What a user whose streams are all in the background gets. */
  background: 'stream' | 'stream_and_push';
  backgroundFrom: 'category' | 'lane';
}

/** What the rules rest on. */
export interface Ruled {
  notification: Notification;
  lane: Lane;
  /** Of the category; undefined: its tenant put none. */
  rules: Category | undefined;
}

const askedStep = (channel: Channel): Asked => ({
  channel,
  afterMs: undefined,
  condition: EscalationCondition.NOT_DELIVERED,
});

const DEFAULT_PLAN: readonly Asked[] = [Channel.IN_APP, Channel.PUSH, Channel.EMAIL].map(askedStep);

/** Each channel once: the first mention counts. */
function askedSteps(escalation: readonly Escalation[]): Asked[] {
  const steps = new Map<Channel, Asked>();
  for (const { channel, after, condition } of escalation)
    if (!steps.has(channel)) steps.set(channel, { channel, afterMs: after && durationMs(after), condition });
  return [...steps.values()];
}

function plansOf({ notification, rules }: Ruled): Pick<Policy, 'plans' | 'planFrom'> {
  const { channels, escalation } = notification;
  if (channels.length > 0)
    return {
      plans: [...new Set(channels)].map((channel) => [askedStep(channel)]),
      planFrom: 'notification',
    };
  if (escalation.length > 0) return { plans: [askedSteps(escalation)], planFrom: 'notification' };
  if (rules && rules.escalation.length > 0)
    return { plans: [askedSteps(rules.escalation)], planFrom: 'category' };
  return { plans: [DEFAULT_PLAN], planFrom: 'default' };
}

function backgroundOf({ lane, rules }: Ruled): Pick<Policy, 'background' | 'backgroundFrom'> {
  switch (rules?.background) {
    case BackgroundPolicy.STREAM_AND_PUSH:
      return { background: 'stream_and_push', backgroundFrom: 'category' };
    case BackgroundPolicy.STREAM_ONLY:
      return { background: 'stream', backgroundFrom: 'category' };
    default:
      return { background: lane === Lane.CRITICAL ? 'stream_and_push' : 'stream', backgroundFrom: 'lane' };
  }
}

/** Milliseconds for which a user who vanished counts as coming back, 0 to `limits.lingerMaxMs`. */
export function lingerOf({ rules }: Pick<Ruled, 'rules'>): number {
  const ms = rules?.linger ? durationMs(rules.linger) : limits.lingerMs;
  return Math.max(0, Math.min(ms, limits.lingerMaxMs));
}

/** The same for all recipients of a notification. */
export const policyOf = (ruled: Ruled): Policy => ({
  ...plansOf(ruled),
  ...backgroundOf(ruled),
  lingerMs: lingerOf(ruled),
  lingerFrom: ruled.rules?.linger ? 'category' : 'default',
});

/** Whether the plan asks for addresses at all; an in-app blast need not read them. */
export const needsAddresses = ({ plans }: Pick<Policy, 'plans'>): boolean =>
  plans.some((steps) => steps.some((step) => step.channel !== Channel.IN_APP));
