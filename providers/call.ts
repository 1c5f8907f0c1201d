// One call of a provider: bounded in time, traced, counted, and never rejecting.
import { laneName } from '../eventlog/topics.ts';
import { limits } from '../runtime/limits.ts';
import type { Span } from '../runtime/tracing.ts';
import type { DestinationAddress } from '../storage/addresses.ts';
import type { Claimed } from '../storage/claims.ts';
import type { DeliveryContext } from './delivery.ts';
import type { Outcome, OutcomeKind, Provider } from './provider.ts';

const labels: Record<OutcomeKind, string> = {
  sent: 'sent',
  transient: 'transient',
  throttled: 'transient',
  down: 'transient',
  config: 'transient',
  permanent: 'permanent',
  unknown: 'ambiguous',
};

/** One line of at most `limits.providerReasonChars`, led by the provider's name. */
function sentence(provider: string, reason: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed.
  const line = reason.replace(/[\u0000-\u001f\u007f\s]+/gu, ' ').trim();
  return `${provider}: ${line === '' ? 'no reason given' : line}`.slice(0, limits.providerReasonChars);
}

function named(provider: string, outcome: Outcome): Outcome {
  if (outcome.kind === 'sent') return outcome;
  if (outcome.kind === 'throttled')
    return { ...outcome, reason: sentence(provider, outcome.reason ?? 'asks us to slow down') };
  return { ...outcome, reason: sentence(provider, outcome.reason) };
}

export interface Call {
  address: DestinationAddress;
  attemptId: string;
  span: Span;
}

/** Makes the call; what a provider throws, or does not answer in time, is `unknown`: it may have gone out. */
export async function callProvider(
  { clock, metrics, tracing, log }: DeliveryContext,
  provider: Provider,
  row: Claimed,
  { address, attemptId, span: parent }: Call,
): Promise<Outcome> {
  const span = tracing.span('provider call', {
    parent: parent.traceparent,
    kind: 'client',
    attributes: { 'carillon.provider': provider.name, 'carillon.attempt_id': attemptId },
  });
  const startMs = clock.monotonic();
  const outcome = named(provider.name, await attempt(provider, row, address, attemptId, span.traceparent));
  metrics.providerDuration.record((clock.monotonic() - startMs) / 1000, { provider: provider.name });
  metrics.attemptsTotal.add(1, { provider: provider.name, outcome: labels[outcome.kind] });
  if (outcome.kind === 'unknown') metrics.ambiguousAttemptsTotal.add(1);
  span.set({ 'carillon.outcome': outcome.kind });
  if (outcome.kind !== 'sent') {
    const { kind, reason } = outcome;
    span.fail(new Error(reason ?? kind));
    const level =
      kind === 'config' ? 'error' : kind === 'transient' || kind === 'throttled' ? 'info' : 'warn';
    log[level](
      {
        outcome: kind,
        reason,
        attempt: attemptId,
        notification: row.notificationId,
        lane: laneName(row.lane),
      },
      'a provider did not take a message',
    );
  }
  span.end();
  return outcome;
}

/**
 * Makes one call of a provider in `limits.providerCallMs`. It must settle when the signal aborts; one that does not is left
 * behind a moment later, and what it throws is an outcome too: nobody knows.
 */
export async function inTime(call: (signal: AbortSignal) => Promise<Outcome>): Promise<Outcome> {
  const leftBehind = Promise.withResolvers<Outcome>();
  const late = AbortSignal.timeout(limits.providerCallMs + limits.providerSettleMs);
  late.addEventListener('abort', () => leftBehind.resolve({ kind: 'unknown', reason: 'no answer in time' }));
  try {
    return await Promise.race([call(AbortSignal.timeout(limits.providerCallMs)), leftBehind.promise]);
  } catch (error) {
    return { kind: 'unknown', reason: error instanceof Error ? error.message : String(error) };
  }
}

async function attempt(
  provider: Provider,
  row: Claimed,
  address: DestinationAddress,
  attemptId: string,
  traceparent: string | undefined,
): Promise<Outcome> {
  const { notification } = row;
  if (!notification) return { kind: 'permanent', reason: 'the notification is no longer kept' };
  const message = {
    tenant: row.tenant,
    notificationId: row.notificationId,
    userId: row.userId,
    address,
    category: notification.category,
    lane: row.lane,
    content: notification.content,
    expiresAtMs: notification.expiresAtMs,
    traceparent,
    attemptId,
  };
  return inTime((signal) => provider.send(message, { signal, attemptId }));
}
