// What follows from the outcomes of a row's calls: a pure function, so that every case can be tried.
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Outcome } from './provider.ts';

export interface NextContext {
  lane: Lane;
  /** Tries of this step so far, the one that just ended included. */
  tries: number;
  /** Delay before the second try, before the third, …: one try more than delays. */
  retryMs: readonly number[];
  /** In [0, 1), for jitter. */
  random: number;
}

export type Next =
  | { to: 'sent' }
  /** Again after `afterMs`. `counted: false`: the provider was busy, which uses up no try. */
  | { to: 'retry'; afterMs: number; reason: string; counted: boolean }
  /** The next step of the plan; without one the row ends as `otherwise`. */
  | { to: 'step'; reason: string; otherwise: 'failed' | 'dead' }
  /** Nobody knows whether it went out. Settled after `afterMs` (see `settle`). */
  | { to: 'ambiguous'; afterMs: number; reason: string };

/** What is done with a delivery whose call has an unknown outcome (docs/decisions/0006-ambiguous-attempts.md). */
type AmbiguousPolicy = 'resend_at_once' | 'resend_later' | 'park';

function ambiguousPolicy(lane: Lane): AmbiguousPolicy {
  switch (lane) {
    case Lane.CRITICAL:
      return 'resend_at_once';
    case Lane.BULK:
      return 'park';
    default:
      return 'resend_later';
  }
}

/** How long a receipt may take to settle an ambiguous delivery before the policy does. */
export function ambiguousWaitMs(lane: Lane, retryMs: readonly number[]): number {
  return ambiguousPolicy(lane) === 'resend_at_once' ? 0 : (retryMs[0] ?? 0);
}

/** The delay before the next try, spread over 80–120 %, so that what failed together does not come back together. */
function backoffMs({ tries, retryMs, random }: NextContext): number | undefined {
  const base = retryMs[tries - 1];
  return base === undefined ? undefined : Math.round(base * (0.8 + 0.4 * random));
}

const spread = (ms: number, random: number): number => Math.round(ms * (1 + 0.2 * random));

/** What a person reads of an outcome. */
export function outcomeReason(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'sent':
      return '';
    case 'throttled':
      return outcome.reason ?? 'the provider asks us to slow down';
    default:
      return outcome.reason;
  }
}

/** Whether another provider of the channel may be asked at once: only when this one certainly did not send it, and the address is not at fault. */
export function mayGoElsewhere(outcome: Outcome): boolean {
  switch (outcome.kind) {
    case 'transient':
    case 'throttled':
    case 'down':
    case 'config':
      return true;
    case 'permanent':
      return outcome.policy === true;
    default:
      return false;
  }
}

/**
 * `outcomes`: the last one of each address. Several addresses are the devices of one user: the delivery is sent when
 * one device took it; it is ambiguous when none certainly did and one may have.
 */
export function next(outcomes: readonly Outcome[], context: NextContext): Next {
  const of = <K extends Outcome['kind']>(kind: K) =>
    outcomes.filter((outcome): outcome is Extract<Outcome, { kind: K }> => outcome.kind === kind);
  if (of('sent').length > 0) return { to: 'sent' };
  const unknown = of('unknown')[0];
  if (unknown)
    return {
      to: 'ambiguous',
      afterMs: ambiguousWaitMs(context.lane, context.retryMs),
      reason: unknown.reason,
    };
  const counted = [...of('transient'), ...of('down'), ...of('config')];
  const throttled = of('throttled');
  if (counted.length === 0 && throttled.length > 0) {
    const waitMs = Math.min(...throttled.map((outcome) => outcome.retryAfterMs));
    return {
      to: 'retry',
      afterMs: spread(Math.max(waitMs, limits.providerPausedMs), context.random),
      reason: outcomeReason(throttled[0]!),
      counted: false,
    };
  }
  const failed = counted[0];
  if (failed) {
    const delayMs = backoffMs(context);
    if (delayMs === undefined) return { to: 'step', reason: failed.reason, otherwise: 'dead' };
    const asked = Math.max(0, ...of('transient').map((outcome) => outcome.retryAfterMs ?? 0));
    return { to: 'retry', afterMs: Math.max(delayMs, asked), reason: failed.reason, counted: true };
  }
  const permanent = of('permanent')[0];
  return { to: 'step', reason: permanent?.reason ?? 'the user has no address here', otherwise: 'failed' };
}

/** What becomes of an ambiguous delivery that nothing settled in time. */
export function settle(lane: Lane, tries: number, retryMs: readonly number[]): 'again' | 'dead' {
  return ambiguousPolicy(lane) === 'park' || tries > retryMs.length ? 'dead' : 'again';
}
