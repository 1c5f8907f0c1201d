// Takes back what was pushed, once a client has it: every call of the row by the provider that made it, at most a few tries.
import { laneName } from '../eventlog/topics.ts';
import { limits } from '../runtime/limits.ts';
import { addressText, type DestinationAddress } from '../storage/addresses.ts';
import {
  type ClearEnd,
  type Clearing,
  type ClearOutcome,
  finishClear,
  type PushedCall,
} from '../storage/clears.ts';
import { inTime } from './call.ts';
import type { DeliveryContext } from './delivery.ts';
import type { Member } from './member.ts';
import { outcomeReason } from './next.ts';
import { type Pool, withSlots } from './pool.ts';
import type { Outcome } from './provider.ts';

type ClearContext = Pick<DeliveryContext, 'db' | 'now' | 'metrics' | 'tracing' | 'log' | 'stopping'>;

/** What came of one call; `again`: nothing yet. */
interface Came {
  outcome: ClearOutcome | 'again';
  error: string;
}

/** Of an outcome of `Provider.clear`. */
function came(outcome: Outcome): Came {
  const error = outcomeReason(outcome);
  switch (outcome.kind) {
    case 'sent':
      return { outcome: 'cleared', error };
    case 'permanent':
      return { outcome: outcome.address ? 'gone' : 'refused', error };
    default:
      return { outcome: 'again', error };
  }
}

/**
 * `addresses`: the user's devices as they are now. Returns how soon the row is due again; undefined when it is done with. Rejects
 * only when the store fails: the lease then brings the row back, and the try has counted.
 */
export async function clearPushes(
  context: ClearContext,
  pool: Pool,
  row: Clearing,
  addresses: readonly DestinationAddress[],
): Promise<number | undefined> {
  const span = context.tracing.span('clear', {
    parent: row.traceparent,
    attributes: {
      'carillon.notification_id': row.notificationId,
      'carillon.lane': laneName(row.lane),
      'carillon.try': row.tries,
    },
  });
  try {
    const results = await Promise.all(
      row.calls.map((call) =>
        clearOne(context, pool, row, { call, addresses, traceparent: span.traceparent }),
      ),
    );
    const pauseMs = limits.clearRetryMs[row.tries - 1];
    const left = results.some(({ outcome }) => outcome === 'again');
    const ends = results.flatMap(({ outcome, error }, index): ClearEnd[] => {
      const { attemptId } = row.calls[index]!;
      if (outcome !== 'again') return [{ attemptId, outcome, error }];
      return pauseMs === undefined ? [{ attemptId, outcome: 'failed', error }] : [];
    });
    const againMs = left ? pauseMs : undefined;
    await finishClear(context.db, row, ends, againMs, context.now());
    return againMs;
  } catch (error) {
    span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}

interface One {
  call: PushedCall;
  addresses: readonly DestinationAddress[];
  traceparent: string | undefined;
}

async function clearOne(context: ClearContext, pool: Pool, row: Clearing, one: One): Promise<Came> {
  const { metrics, log } = context;
  const { call, addresses } = one;
  const member = pool.members.find(({ provider }) => provider.name === call.provider);
  const address = addresses.find((each) => addressText(each) === call.address);
  const result = !member?.provider.clear
    ? ({ outcome: 'unsupported', error: '' } as const)
    : address === undefined
      ? ({ outcome: 'gone', error: '' } as const)
      : await withSlots([member], row.lane, () => ask(context, member, row, { ...one, address }));
  metrics.clearsTotal.add(1, { provider: call.provider, outcome: result.outcome });
  if (result.outcome === 'again')
    log.info(
      { provider: call.provider, reason: result.error, attempt: call.attemptId, try: row.tries },
      'a push was not taken back',
    );
  return result;
}

/** Holding a slot: the breaker's leave, and the call. */
async function ask(
  { stopping }: ClearContext,
  member: Member,
  row: Clearing,
  { call, address, traceparent }: One & { address: DestinationAddress },
): Promise<Came> {
  const turn = !stopping.aborted && (await member.turn(row.lane, stopping));
  const permit = turn ? member.admit(row.lane, 'clear') : undefined;
  if (!permit) return { outcome: 'again', error: 'PROVIDERS_PAUSED' };
  const sent = {
    tenant: row.tenant,
    notificationId: row.notificationId,
    userId: row.userId,
    address,
    lane: row.lane,
    traceparent,
    attemptId: call.attemptId,
    messageId: call.providerMessageId,
  };
  const { provider } = member;
  const outcome = await permit.run(() =>
    inTime((signal) => provider.clear?.(sent, { signal }) ?? Promise.reject(new Error('it cannot clear'))),
  );
  return came(outcome);
}
