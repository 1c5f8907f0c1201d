// Puts an edge together from its ports: what the wire, the links and the unary calls are served by.
import type { EdgePort } from '../cluster/edge-link.ts';
import type { Membership } from '../cluster/membership.ts';
import type { Ownership } from '../cluster/ownership.ts';
import type { Presence } from '../cluster/presence.ts';
import type { Handoff } from '../eventlog/event-log.ts';
import type { UserAuthenticator } from '../runtime/authenticator.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
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
import { FIRST_POSITION, revocationsSince } from '../storage/revocations.ts';
import { AckQueue } from './ack-queue.ts';
import { Admission, type AdmissionBounds, defaultAdmission } from './admission.ts';
import { trustedProxies } from './client-address.ts';
import { Departures } from './departures.ts';
import { drain } from './drain.ts';
import { edgePort } from './edge-port.ts';
import { Hub } from './hub.ts';
import { Moves } from './moves.ts';
import { Reports } from './reports.ts';
import { Revocations } from './revocations.ts';
import { edgeMount } from './service.ts';
import { SessionCalls } from './session-calls.ts';
import { Signals } from './signals.ts';
import { subscribeHandler } from './subscribe.ts';
import type { SubscribeHandler } from './wire/client-stream.ts';

export interface EdgeOptions {
  db: Database;
  /** Takes what acks set off. */
  handoff: Handoff;
  presence: Presence;
  authenticator: UserAuthenticator;
  membership: Pick<Membership, 'watch'>;
  ownership: Pick<Ownership, 'owner' | 'member' | 'view'>;
  /** The edge's name in the cluster; `incarnation` is new at every start. */
  node: string;
  incarnation: string;
  clock: Clock;
  ids: Ids;
  tracing: Tracing;
  metrics: Metrics;
  log: Log;
  config: Pick<Config, 'edgeReconnectsPerSecond' | 'edgeStreamsPerAddress' | 'trustedProxies'>;
  /** `defaultAdmission` when absent, with what the configuration says. */
  admission?: AdmissionBounds;
}

export interface Edge extends AsyncDisposable {
  /** For links, in this process or between two. */
  readonly port: EdgePort;
  /** For the wire. It validates requests itself. */
  readonly subscribe: SubscribeHandler;
  /** The unary methods of EdgeService. */
  readonly service: Mount;
  /** Open streams. */
  readonly streams: number;
  /**
   * Refuses new streams and ends those that are open, within `limits.drainLeaveMs + limits.drainTellMs + limits.drainAckMs`.
   * The edge has left the membership before, so that nobody is sent here.
   */
  drain(signal?: AbortSignal): Promise<void>;
}

/** The store's time, as it was at the edge's start, going on with the clock that never jumps. */
function storeClock(clock: Clock, authenticator: UserAuthenticator): Clock {
  const aheadMs = authenticator.nowMs() - clock.monotonic();
  return {
    now: () => clock.monotonic() + aheadMs,
    monotonic: () => clock.monotonic(),
    after: (delayMs, task) => clock.after(delayMs, task),
    every: (periodMs, task) => clock.every(periodMs, task),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
  };
}

/** Follows what retention has removed. */
function followRetention({ db, clock, log }: EdgeOptions, hub: Hub): Disposable {
  return clock
    .every(limits.keptSinceRefreshMs, () => {
      keptSinceMs(db).then(
        (keptMs) => {
          hub.keptSinceMs = keptMs;
        },
        (error: unknown) => log.warn({ err: error }, 'the retention could not be read'),
      );
    })
    .unref();
}

/** Rejects with STORE_UNAVAILABLE when the database does not answer. Disposing it ends what is still open. */
export async function openEdge(options: EdgeOptions): Promise<Edge> {
  const { config, db, authenticator, membership, clock, ids } = options;
  const tokenNowMs = () => authenticator.nowMs();
  const departures = new Departures({ ...options, perSecond: config.edgeReconnectsPerSecond });
  const hub = new Hub({
    ...options,
    clock: storeClock(clock, authenticator),
    tokenNowMs,
    onOld: (session) => {
      if (departures.take()) departures.tell(session, 'AGE');
    },
    epoch: await meshEpoch(db),
    keptSinceMs: await keptSinceMs(db),
    readPages: readPages.bind(undefined, db),
    readContents: readContents.bind(undefined, db),
  });
  const bounds = { ...defaultAdmission, perAddressCount: config.edgeStreamsPerAddress };
  const admission = new Admission(options.admission ?? bounds, clock, ids);
  const proxies = trustedProxies(config.trustedProxies);
  const acks = new AckQueue(acknowledge.bind(undefined, db, options.handoff));
  const reports = new Reports(options);
  const signals = new Signals();
  const calls = new SessionCalls({ ...options, hub, signals });
  const moves = new Moves({ sessions: () => hub.sessions(), departures, clock });
  const read = revocationsSince.bind(undefined, db);
  const revocations = new Revocations({ ...options, hub, read, from: FIRST_POSITION, tokenNowMs });
  const retention = followRetention(options, hub);
  const unwatch = membership.watch((view) => {
    moves.look(view);
    signals.viewed(view.hash);
  });
  return {
    port: edgePort({ ...options, hub, signals }),
    subscribe: subscribeHandler({ ...options, hub, admission, departures, proxies }),
    service: edgeMount({ ...options, hub, acks, reports, calls, signals }),
    get streams() {
      return hub.streams;
    },
    drain(signal) {
      moves[Symbol.dispose]();
      unwatch();
      return drain({ ...options, admission, departures, sessions: () => hub.sessions(), signal });
    },
    async [Symbol.asyncDispose]() {
      admission.close();
      unwatch();
      moves[Symbol.dispose]();
      retention[Symbol.dispose]();
      await revocations[Symbol.asyncDispose]();
      hub[Symbol.dispose]();
    },
  };
}
