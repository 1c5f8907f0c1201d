// Puts the service for backends together: its methods, and what they share.

import type { Handoff } from '../eventlog/event-log.ts';
import { IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import type { Authenticator } from '../runtime/authenticator.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { type Ids, systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { type Mount, mount } from '../runtime/mount.ts';
import { type Tracing, tracingOff } from '../runtime/tracing.ts';
import { trimIdempotencyKeys } from '../storage/accept.ts';
import { AcceptQueue } from '../storage/accept-queue.ts';
import type { Database } from '../storage/database.ts';
import { cancel } from './cancel.ts';
import { explain } from './explain.ts';
import { getNotification } from './get-notification.ts';
import { Intake } from './intake.ts';
import { publish } from './publish.ts';
import { send } from './send.ts';
import { sendBatch } from './send-batch.ts';
import { WatchPoller, watchNotification } from './watch-notification.ts';

export interface IngestOptions {
  database: Database;
  handoff: Handoff;
  authenticator: Authenticator;
  log: Log;
  clock?: Clock;
  ids?: Ids;
  tracing?: Tracing;
  metrics?: Metrics;
}

export interface Ingest extends AsyncDisposable {
  /** For `openPort`. */
  readonly mount: Mount;
  /** Requests that wait for their commit. */
  readonly waiting: number;
}

/** What the methods share. */
export interface IngestContext {
  readonly database: Database;
  readonly intake: Intake;
  readonly poller: WatchPoller;
  readonly tracing: Tracing;
}

/** Disposing it waits for commits in flight; close the port before. */
export function createIngest(options: IngestOptions): Ingest {
  const {
    database,
    handoff,
    authenticator,
    log,
    clock = systemClock,
    ids = systemIds,
    tracing = tracingOff,
    metrics,
  } = options;
  const queue = new AcceptQueue({ database, handoff, clock });
  const poller = new WatchPoller({ database, clock, log });
  const shared: IngestContext = {
    database,
    poller,
    tracing,
    intake: new Intake({ queue, handoff, clock, ids, metrics, log }),
  };
  let trimming = Promise.resolve();
  const trim = clock.every(limits.idempotencyTrimMs, () => {
    trimming = trimming.then(async () => {
      try {
        while ((await trimIdempotencyKeys(database)) === limits.idempotencyTrimRows);
      } catch (error) {
        log.warn({ err: error }, 'old idempotency keys were not deleted; they are tried again');
      }
    });
  });
  trim.unref();
  return {
    mount: mount(
      IngestService,
      {
        send: (request, call) => send(shared, request, call),
        sendBatch: (request, call) => sendBatch(shared, request, call),
        publish: (requests, call) => publish(shared, requests, call),
        cancel: (request, call) => cancel(shared, request, call),
        getNotification: (request, call) => getNotification(shared, request, call),
        watchNotification: (request, call) => watchNotification(shared, request, call),
        explain: (request, call) => explain(shared, request, call),
      },
      // Each of its sends has an outcome of its own, also when it breaks a rule.
      { authenticator, validatesItself: ['sendBatch'] },
    ),
    get waiting() {
      return queue.waiting;
    },
    async [Symbol.asyncDispose]() {
      trim[Symbol.dispose]();
      poller[Symbol.dispose]();
      await queue[Symbol.asyncDispose]();
      await trimming;
    },
  };
}
