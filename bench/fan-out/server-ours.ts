// Our edge: its port, its sessions, its hub, fed by batches as the link of one process brings them. Only the database is missing:
// the inbox says that nobody has missed anything.
import { MemoryPresence } from '../../cluster/presence.memory.ts';
import { Admission, defaultAdmission } from '../../edge/admission.ts';
import { Hub } from '../../edge/hub.ts';
import { subscribeHandler } from '../../edge/subscribe.ts';
import { openEdgePort } from '../../edge/wire/edge-port.ts';
import { systemClock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { silentLog } from '../../runtime/log.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { tracingOff } from '../../runtime/tracing.ts';
import { EPOCH } from './epoch.ts';
import { LinkFeed } from './link-feed.ts';
import type { FanOutServer } from './servers.ts';

/** Heartbeats are no part of the goal; the servers beside ours have none, or one in 300 s. */
const QUIET = 100;

export async function serveOurs(): Promise<FanOutServer> {
  /** What the inbox says; never ahead of what a stream was sent, or the stream would skip it. */
  let head = 0;
  const hub = new Hub({
    node: 'bench',
    incarnation: '1',
    epoch: EPOCH,
    keptSinceMs: 0,
    readPages: async (requests) =>
      requests.map(() => ({ head, unseen: 0, unread: 0, rows: [], complete: true })),
    readContents: async () => ({ found: [], complete: true }),
    presence: new MemoryPresence(),
    clock: { ...systemClock, every: (periodMs, task) => systemClock.every(periodMs * QUIET, task) },
    ids: systemIds,
    tracing: tracingOff,
    metrics: createMetrics(),
    log: silentLog,
  });
  const feed = new LinkFeed(hub);
  // A benchmark opens its streams faster than a herd of real clients is let in.
  const bounds = { ...defaultAdmission, opensPerSecond: 1e9, burstCount: 1e9 };
  const port = await openEdgePort({
    port: 0,
    log: silentLog,
    routes: () => undefined,
    subscribe: subscribeHandler(hub, new Admission(bounds, systemClock, systemIds), silentLog),
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
