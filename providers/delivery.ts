// One claimed row from its slot to its next state: slot and breaker, commit, call, commit; another provider when one fails.

import type { Handoff } from '../eventlog/event-log.ts';
import { channelName, laneName } from '../eventlog/topics.ts';
import { Channel, DeliveryState, DeliveryStateSchema } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Span, Tracing } from '../runtime/tracing.ts';
import { addressText, type DestinationAddress } from '../storage/addresses.ts';
import { type AttemptEnd, begin, finish } from '../storage/attempts.ts';
import { type Claimed, release } from '../storage/claims.ts';
import { hastenClear } from '../storage/clears.ts';
import type { Database } from '../storage/database.ts';
import type { Permit } from './breaker.ts';
import { callProvider } from './call.ts';
import type { Member } from './member.ts';
import { mayGoElsewhere, next, outcomeReason } from './next.ts';
import { type Pool, withSlots } from './pool.ts';
import type { Outcome } from './provider.ts';

export interface DeliveryContext {
  db: Database;
  handoff: Handoff;
  clock: Clock;
  ids: Ids;
  /** What the store takes for now; null: the database's clock. */
  now: () => Date | null;
  retryMs: readonly number[];
  metrics: Metrics;
  tracing: Tracing;
  log: Log;
  /** Aborts when the process stops: rows that were not begun are given back. */
  stopping: AbortSignal;
}

/** An address of the row, the provider that is to take it, and what came of it so far. */
interface Target {
  address: DestinationAddress;
  asked: Set<string>;
  outcome: Outcome | undefined;
}

interface Planned {
  target: Target;
  member: Member;
}

interface Admitted extends Planned {
  permit: Permit;
  attemptId: string;
}

/** What remains to be done with a row when its calls are over or cannot be made. */
type Rest = { afterMs: number } | 'gone' | 'finish';

const gone = (text: string): Outcome => ({ kind: 'permanent', reason: text });

/** Of an address that was not asked, since its provider is paused: it waits, which uses up no try. */
const paused = (waitMs: number): Outcome => ({
  kind: 'throttled',
  reason: 'PROVIDERS_PAUSED',
  retryAfterMs: waitMs,
});

/**
 * Sends a claimed row to `addresses` and stores what became of it. Returns how soon a row that goes on is due, or one that was
 * acknowledged during the call is to be cleared, for the due loop to know; undefined when it ended. Rejects only when the store fails: the lease then runs out, and what was
 * SENDING becomes AMBIGUOUS.
 */
export async function deliver(
  context: DeliveryContext,
  pool: Pool,
  row: Claimed,
  addresses: readonly DestinationAddress[],
  parent: string | undefined,
): Promise<number | undefined> {
  const span = context.tracing.span('attempt', {
    parent: parent ?? row.notification?.traceparent,
    attributes: {
      'carillon.channel': channelName(row.stepChannel),
      'carillon.lane': laneName(row.lane),
      'carillon.notification_id': row.notificationId,
      'carillon.try': row.tries + 1,
    },
  });
  try {
    const targets = addresses
      .filter((address) => !row.refusedAddresses.has(addressText(address)))
      .map((address): Target => ({ address, asked: new Set(), outcome: undefined }));
    if (!row.notification) return await end(context, row, [gone('the notification is no longer kept')], []);
    if (addresses.length > 0 && targets.length === 0)
      return await end(context, row, [gone('every address has refused it')], []);
    return await tryAll(context, pool, row, targets, span);
  } catch (error) {
    span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}

/** Rounds of calls, each on providers that were not asked before, until every address has its answer. */
async function tryAll(
  context: DeliveryContext,
  pool: Pool,
  row: Claimed,
  targets: readonly Target[],
  span: Span,
): Promise<number | undefined> {
  let ended: AttemptEnd[] = [];
  let pausedMs: number = limits.providerPausedMs;
  for (let round = 0; round < limits.providerRoundsCount; round++) {
    const { planned, waitMs } = choose(pool, row, targets);
    pausedMs = waitMs ?? pausedMs;
    if (planned.length === 0) {
      if (round > 0 || waitMs === undefined) break;
      return giveBack(context, row, waitMs, 'PROVIDERS_PAUSED');
    }
    const members = [...new Set(planned.map(({ member }) => member))];
    const round1 = ended;
    const result = await withSlots(members, row.lane, () =>
      callRound(context, row, planned, { ended: round1, first: round === 0, span }),
    );
    if (result.rest === 'gone') return undefined;
    if (result.rest !== 'finish') return result.rest.afterMs;
    if (result.ended.length === 0) break;
    ended = result.ended;
    if (!targets.some((target) => target.outcome && mayGoElsewhere(target.outcome))) break;
  }
  return end(
    context,
    row,
    targets.map((target) => target.outcome ?? paused(pausedMs)),
    ended,
  );
}

/** For each address that is still open, the provider whose turn it is. `waitMs`: when none is ready, how soon one may be. */
function choose(pool: Pool, row: Claimed, targets: readonly Target[]) {
  const planned: Planned[] = [];
  let waitMs: number | undefined;
  for (const target of targets) {
    if (target.outcome && !mayGoElsewhere(target.outcome)) continue;
    const choice = pool.choose(target.address, {
      lane: row.lane,
      asked: target.asked,
      last: row.ambiguousProviders,
    });
    if (choice === undefined) {
      if (!target.outcome) target.outcome = gone('no provider serves this address');
    } else if ('member' in choice) planned.push({ target, member: choice.member });
    else waitMs = Math.min(waitMs ?? Number.POSITIVE_INFINITY, choice.waitMs);
  }
  return { planned, waitMs };
}

interface Round {
  /** Calls of the round before, to be stored with the begin of this one. */
  ended: readonly AttemptEnd[];
  first: boolean;
  span: Span;
}

/** Holding the slots: turns by the rate, permits, the commit, the calls. */
async function callRound(
  context: DeliveryContext,
  row: Claimed,
  planned: readonly Planned[],
  { ended, first, span }: Round,
): Promise<{ rest: Rest; ended: AttemptEnd[] }> {
  const { db, ids, stopping } = context;
  const admitted: Admitted[] = [];
  const turns: Planned[] = [];
  if (!stopping.aborted || !first)
    for (const each of planned) if (await each.member.turn(row.lane, stopping)) turns.push(each);
  for (const { target, member } of turns) {
    const permit = member.admit(row.lane);
    if (permit) admitted.push({ target, member, permit, attemptId: ids.uuid() });
  }
  if (admitted.length === 0) {
    if (!first) return { rest: 'finish', ended: [] };
    const waits = planned.map((each) => {
      if (each.member.closing) return 0;
      return turns.includes(each) ? each.member.waitMs(row.lane) : limits.providerTurnMs;
    });
    const afterMs = stopping.aborted ? 0 : Math.min(...waits);
    const dueMs = await giveBack(context, row, afterMs, stopping.aborted ? '' : 'PROVIDERS_PAUSED');
    return { rest: dueMs === undefined ? 'gone' : { afterMs: dueMs }, ended: [] };
  }
  const letGo = () => {
    for (const { permit } of admitted) permit.release();
  };
  const begun = await begin(db, row, {
    attempts: admitted.map(({ attemptId, member, target }) => ({
      id: attemptId,
      provider: member.provider.name,
      address: addressText(target.address),
    })),
    ended,
    leaseMs: limits.providerSendingLeaseMs,
    now: context.now(),
  }).catch((error: unknown) => {
    letGo();
    throw error;
  });
  if (begun !== 'begun') {
    letGo();
    if (begun !== 'lost') count(context, row, begun === 'cancelled' ? 'CANCELLED' : 'EXPIRED');
    span.set({ 'carillon.outcome': begun });
    return { rest: 'gone', ended: [] };
  }
  const ends = await Promise.all(
    admitted.map(async ({ target, member, permit, attemptId }): Promise<AttemptEnd> => {
      target.asked.add(member.provider.name);
      const outcome = await permit.run(() =>
        callProvider(context, member.provider, row, { address: target.address, attemptId, span }),
      );
      target.outcome = outcome;
      return attemptEnd(attemptId, outcome);
    }),
  );
  return { rest: 'finish', ended: ends };
}

/** Without a try. Returns how soon the row is due, or undefined when it has ended. */
async function giveBack(
  context: DeliveryContext,
  row: Claimed,
  afterMs: number,
  reason: string,
): Promise<number | undefined> {
  const released = await release(context.db, row, afterMs, reason, context.now());
  if (released === 'expired') count(context, row, 'EXPIRED');
  return released === 'released' ? afterMs : undefined;
}

function attemptEnd(id: string, outcome: Outcome): AttemptEnd {
  const kinds = {
    sent: 'sent',
    unknown: 'ambiguous',
    permanent: 'permanent',
    transient: 'transient',
    throttled: 'transient',
    down: 'transient',
    config: 'transient',
  } as const;
  return {
    id,
    outcome: kinds[outcome.kind],
    providerMessageId: outcome.kind === 'sent' ? outcome.messageId : '',
    error: outcomeReason(outcome),
  };
}

/** Stores the outcomes and where they lead. */
async function end(
  context: DeliveryContext,
  row: Claimed,
  outcomes: readonly Outcome[],
  ends: readonly AttemptEnd[],
): Promise<number | undefined> {
  const tries = row.tries + (ends.length > 0 ? 1 : 0);
  const move = next(outcomes, {
    lane: row.lane,
    tries: Math.max(1, tries),
    retryMs: context.retryMs,
    random: context.ids.random(),
  });
  const state = await keepTrying(context, () =>
    finish(context.db, context.handoff, row, { move, ends, now: context.now() }),
  );
  if (state === undefined)
    return row.stepChannel === Channel.PUSH && (await hastenClear(context.db, row, context.now()))
      ? 0
      : undefined;
  if (move.to === 'retry') context.metrics.retriesTotal.add(1);
  if (move.to === 'sent' && row.notification) {
    const seconds = (context.clock.now() - row.notification.createdAtMs) / 1000;
    context.metrics.deliveryDuration.record(Math.max(0, seconds), {
      channel: channelName(row.stepChannel),
      lane: laneName(row.lane),
    });
  }
  if (move.to === 'step' && state === DeliveryState.QUEUED) return undefined;
  count(context, row, DeliveryStateSchema.value[state]?.localName ?? 'UNSPECIFIED');
  return move.to === 'retry' || move.to === 'ambiguous' ? move.afterMs : undefined;
}

/**
 * What became of a call is known here and nowhere else: a store that is away for a moment must not turn it into a guess. After
 * the lease somebody else has settled the row. Repeating it changes nothing twice, thanks to the fence.
 */
async function keepTrying<T>({ clock, stopping }: DeliveryContext, store: () => Promise<T>): Promise<T> {
  const endMs = clock.monotonic() + limits.providerSendingLeaseMs;
  const [firstMs, lastMs] = limits.providerStoreMs;
  let pauseMs: number = firstMs;
  for (;;) {
    try {
      return await store();
    } catch (error) {
      const away = error instanceof CarillonError && error.reason === 'STORE_UNAVAILABLE';
      if (!away || stopping.aborted || clock.monotonic() >= endMs) throw error;
      await clock.sleep(pauseMs, stopping);
      pauseMs = Math.min(pauseMs * 2, lastMs);
    }
  }
}

function count({ metrics }: DeliveryContext, row: Claimed, state: string): void {
  metrics.deliveriesTotal.add(1, { channel: channelName(row.stepChannel), lane: laneName(row.lane), state });
}
