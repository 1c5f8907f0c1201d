// kafkajs as we use it: without its busy timer, logging to our log, its errors told apart.
import { createRequire } from 'node:module';
import { Kafka, logLevel } from 'kafkajs';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { inTime } from '../runtime/in-time.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';

interface RequestQueue {
  pending: readonly unknown[];
  throttledUntil: number;
  scheduleCheckPendingRequests(): void;
}

const require = createRequire(import.meta.url);
const { prototype } = require('kafkajs/src/network/requestQueue/index.js') as { prototype: RequestQueue };
const schedule = prototype.scheduleCheckPendingRequests;
// kafkajs 2.2.4 looks at its empty queue every millisecond, for each connection: 2.5 % of a core each, 0.15 % without
// (kafkajs issue 1751). There is something to look for only when requests wait or the broker has asked for a pause.
prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
  if (this.pending.length > 0 || this.throttledUntil > systemClock.now()) schedule.call(this);
};

/** Errors of the broker that say "never", not "not now". */
const REFUSED = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_RECORD',
  'CORRUPT_MESSAGE',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  'POLICY_VIOLATION',
]);

/** The protocol's name of the error that lies at the ground of `error`, such as `MESSAGE_TOO_LARGE`; else empty. */
export function kafkaErrorType(error: unknown): string {
  for (let at = error, depth = 0; at instanceof Error && depth < 10; at = at.cause, depth++)
    if ('type' in at && typeof at.type === 'string') return at.type;
  return '';
}

/** An error of kafkajs as one of ours: LOG_UNAVAILABLE, unless the broker will never take what was asked. */
export function kafkaError(error: unknown): unknown {
  if (error instanceof CarillonError || REFUSED.has(kafkaErrorType(error))) return error;
  if (error instanceof TypeError || error instanceof RangeError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new CarillonError('LOG_UNAVAILABLE', `The event log does not answer: ${message}`, {
    cause: error,
    retryAfterMs: limits.kafkaRestartMs,
  });
}

/** kafkajs' lines, those that repeat once in a while: a broker that is away makes it say the same many times a second. */
function logTo(log: Log, clock: Clock) {
  const said = new Map<string, number>();
  return (level: logLevel, namespace: string, { message, error }: { message: string; error?: unknown }) => {
    if (level > logLevel.WARN) return;
    const line = `${namespace} ${message}`;
    const nowMs = clock.monotonic();
    if (nowMs < (said.get(line) ?? Number.NEGATIVE_INFINITY) + limits.kafkaLogMs) return;
    if (said.size >= limits.kafkaLogLinesCount) said.clear();
    said.set(line, nowMs);
    // What it calls an error is mostly a connection that it will try again; what we cannot do, we say ourselves.
    log.warn({ kafkajs: namespace, cause: typeof error === 'string' ? error : undefined }, message);
  };
}

export function kafkaClient({
  brokers,
  log,
  clock,
}: {
  /** `host:port`, separated by commas. */
  brokers: string;
  log: Log;
  clock: Clock;
}): Kafka {
  const say = logTo(log, clock);
  return new Kafka({
    clientId: 'carillon',
    brokers: brokers
      .split(',')
      .map((each) => each.trim())
      .filter((each) => each !== ''),
    connectionTimeout: limits.kafkaConnectMs,
    requestTimeout: limits.kafkaRequestMs,
    retry: {
      retries: limits.kafkaRetriesCount,
      initialRetryTime: limits.kafkaRetryMs,
      maxRetryTime: limits.kafkaRetryMaxMs,
    },
    logLevel: logLevel.WARN,
    logCreator:
      () =>
      ({ level, namespace, log: entry }) =>
        say(level, namespace, entry),
  });
}

/** Resolves with `work`, or rejects with LOG_UNAVAILABLE after `ms`; kafkajs may wait for a broker for minutes. */
export function within<T>(clock: Clock, ms: number, work: Promise<T>): Promise<T> {
  return inTime(clock, ms, work, () => {
    return new CarillonError('LOG_UNAVAILABLE', undefined, { retryAfterMs: limits.kafkaRestartMs });
  });
}
