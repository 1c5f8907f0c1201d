// Puts an edge together from its ports: what the wire, the links and the unary calls are served by.
import type { EdgePort } from '../cluster/edge-link.ts';
import type { Presence } from '../cluster/presence.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Mount } from '../runtime/mount.ts';
import type { Tracing } from '../runtime/tracing.ts';
import { acknowledge } from '../storage/acks.ts';
import type { Database } from '../storage/database.ts';
import { meshEpoch, readContents, readPages } from '../storage/inbox.ts';
import { keptSinceMs } from '../storage/partitions.ts';
import { AckQueue } from './ack-queue.ts';
import { Admission, type AdmissionBounds, defaultAdmission } from './admission.ts';
import { drain } from './drain.ts';
import { Hub } from './hub.ts';
import { Reports } from './reports.ts';
import { edgeMount } from './service.ts';
import { subscribeHandler } from './subscribe.ts';
import type { SubscribeHandler } from './wire/client-stream.ts';

export interface EdgeOptions {
  db: Database;
  presence: Presence;
  /** The edge's name in the cluster; `incarnation` is new at every start. */
  node: string;
  incarnation: string;
  clock: Clock;
  ids: Ids;
  tracing: Tracing;
  metrics: Metrics;
  log: Log;
  /** `defaultAdmission` when absent. */
  admission?: AdmissionBounds;
}

export interface Edge extends AsyncDisposable {
  /** For links, in this process or by the link port. */
  readonly port: EdgePort;
  /** For the wire. It validates requests itself. */
  readonly subscribe: SubscribeHandler;
  /** The unary methods of EdgeService. */
  readonly service: Mount;
  /** Open streams. */
  readonly streams: number;
  /** Refuses new streams and ends those that are open, within `limits.drainSpreadMs + limits.drainAckMs`. */
  drain(signal?: AbortSignal): Promise<void>;
}

/** Rejects with STORE_UNAVAILABLE when the database does not answer. Disposing it ends what is still open. */
export async function openEdge(options: EdgeOptions): Promise<Edge> {
  const { db, clock, ids, log } = options;
  const hub = new Hub({
    ...options,
    epoch: await meshEpoch(db),
    keptSinceMs: await keptSinceMs(db),
    readPages: readPages.bind(undefined, db),
    readContents: readContents.bind(undefined, db),
  });
  const retention = clock
    .every(limits.keptSinceRefreshMs, () => {
      keptSinceMs(db).then(
        (keptMs) => {
          hub.keptSinceMs = keptMs;
        },
        (error: unknown) => log.warn({ err: error }, 'the retention could not be read'),
      );
    })
    .unref();
  const admission = new Admission(options.admission ?? defaultAdmission, clock, ids);
  const acks = new AckQueue(acknowledge.bind(undefined, db));
  const reports = new Reports(options);
  return {
    port: hub,
    subscribe: subscribeHandler(hub, admission, log),
    service: edgeMount({ hub, acks, reports, db }),
    get streams() {
      return hub.streams;
    },
    drain: (signal) => drain({ admission, sessions: () => hub.sessions(), clock, ids, signal }),
    async [Symbol.asyncDispose]() {
      admission.close();
      retention[Symbol.dispose]();
      hub[Symbol.dispose]();
    },
  };
}
