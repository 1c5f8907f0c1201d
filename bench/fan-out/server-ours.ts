// Our edge: its port, its sessions, its hub, fed by batches as the link of one process brings them. Only the database is missing:
// the inbox says that nobody has missed anything.
import { MemoryPresence } from '../../cluster/presence.memory.ts';
import { Admission, type AdmissionBounds } from '../../edge/admission.ts';
import { trustedProxies } from '../../edge/client-address.ts';
import { Hub } from '../../edge/hub.ts';
import { subscribeHandler } from '../../edge/subscribe.ts';
import { openEdgePort } from '../../edge/wire/edge-port.ts';
import { TokenAuthenticator } from '../../runtime/authenticator.tokens.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Credentials } from '../../runtime/credentials.ts';
import { systemIds } from '../../runtime/ids.ts';
import { createJwtVerifier } from '../../runtime/jwt.ts';
import { createLog } from '../../runtime/log.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { tracingOff } from '../../runtime/tracing.ts';
import { EPOCH } from './epoch.ts';
import { LinkFeed } from './link-feed.ts';
import type { FanOutServer } from './servers.ts';
import { verification } from './tokens.ts';

/** Heartbeats are no part of the goal; the servers beside ours have none, or one in 300 s. */
const QUIET = 100;

/** A benchmark opens its streams faster than a herd of real clients is let in. */
const NO_BOUNDS: AdmissionBounds = {
  streamsCount: 1e9,
  perUserCount: 1e9,
  perAddressCount: 1e9,
  resumesPerSecond: 1e9,
  resumesBurstCount: 1e9,
  beginsPerSecond: 1e9,
  beginsBurstCount: 1e9,
};

export async function serveOurs(): Promise<FanOutServer> {
  /** What the inbox says; never ahead of what a stream was sent, or the stream would skip it. */
  let head = 0;
  const nowMs = () => systemClock.now();
  const credentials: Credentials = {
    nowMs,
    apiKey: () => undefined,
    notBeforeMs: () => Number.NEGATIVE_INFINITY,
    look: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const authenticator = new TokenAuthenticator({
    credentials,
    jwt: await createJwtVerifier({ ...verification, nowMs }),
  });
  const log = createLog({ level: 'error' });
  const clock = systemClock;
  const ids = systemIds;
  const metrics = createMetrics();
  const hub = new Hub({
    node: 'bench',
    incarnation: '1',
    epoch: EPOCH,
    keptSinceMs: 0,
    readPages: async (requests) =>
      requests.map(() => ({ head, unseen: 0, unread: 0, rows: [], complete: true })),
    readContents: async () => ({ found: [], complete: true }),
    presence: new MemoryPresence(),
    onOld: () => undefined,
    tokenNowMs: nowMs,
    clock: { ...clock, every: (periodMs, task) => clock.every(periodMs * QUIET, task) },
    ids,
    tracing: tracingOff,
    metrics,
    log,
  });
  const feed = new LinkFeed(hub);
  const port = await openEdgePort({
    port: 0,
    log,
    routes: () => undefined,
    subscribe: subscribeHandler({
      hub,
      admission: new Admission(NO_BOUNDS, clock, ids),
      authenticator,
      // One edge is everybody's.
      departures: { elsewhere: () => undefined },
      proxies: trustedProxies([]),
      ids,
      metrics,
      log,
    }),
  });
  return {
    port: port.port,
    streams: () => hub.sessions().filter((session) => session.open).length,
    async send(load) {
      await feed.send(load);
      head = feed.seq;
    },
  };
}
