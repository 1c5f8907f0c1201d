// The waits between two processes as spans: made afterwards, from the times that records carry, for sampled flows only.
import type { Tracing } from '../runtime/tracing.ts';
import { isSampled } from '../runtime/tracing.ts';
import type { LogRecord, ReceivedRecord } from './event-log.ts';

/** From the commit of the outbox row to the log's acknowledgement. */
export function outboxWaited(tracing: Tracing, record: LogRecord, createdAtMs: number): void {
  const parent = record.headers.traceparent;
  if (!isSampled(parent)) return;
  tracing
    .span('outbox wait', {
      parent,
      startMs: createdAtMs,
      kind: 'producer',
      attributes: { 'messaging.destination.name': record.topic },
    })
    .end();
}

/** From the append to now, when its consumer begins to handle it. Returns what the work that follows hangs below. */
export function logWaited(
  tracing: Tracing,
  record: ReceivedRecord,
  parent: string | undefined = record.headers.traceparent,
): string | undefined {
  if (!isSampled(parent)) return parent;
  const span = tracing.span('log wait', {
    parent,
    startMs: record.appendedAtMs,
    kind: 'consumer',
    attributes: {
      'messaging.destination.name': record.topic,
      'messaging.destination.partition.id': `${record.partition}`,
      'messaging.kafka.offset': `${record.offset}`,
    },
  });
  span.end();
  return span.traceparent;
}
