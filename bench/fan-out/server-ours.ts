// Our edge: its port, its sessions, its hub, fed by batches as the link of one process brings them. Only the database is missing:
// the inbox says that nobody has missed anything.
import { create } from '@bufbuild/protobuf';
import { MemoryPresence } from '../../cluster/presence.memory.ts';
import { Admission, defaultAdmission } from '../../edge/admission.ts';
import { Hub } from '../../edge/hub.ts';
import { subscribeHandler } from '../../edge/subscribe.ts';
import { openEdgePort } from '../../edge/wire/edge-port.ts';
import { type Target, TargetSchema } from '../../gen/carillon/v1/edge_link_pb.ts';
import { systemClock } from '../../runtime/clock.ts';
import { DEFAULT_TENANT } from '../../runtime/identity.ts';
import { systemIds } from '../../runtime/ids.ts';
import { limits } from '../../runtime/limits.ts';
import { silentLog } from '../../runtime/log.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { tracingOff } from '../../runtime/tracing.ts';
import { itemField } from './item.ts';
import type { FanOutServer } from './servers.ts';

/** Heartbeats are no part of the goal; the servers beside ours have none, or one in 300 s. */
const QUIET = 100;

export async function serveOurs(): Promise<FanOutServer> {
  let seq = 0;
  /** What the inbox says; never ahead of what a stream was sent, or the stream would skip it. */
  let head = 0;
  const hub = new Hub({
    node: 'bench',
    incarnation: '1',
    epoch: '0'.repeat(8),
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
  // A benchmark opens its streams faster than a herd of real clients is let in.
  const bounds = { ...defaultAdmission, opensPerSecond: 1e9, burstCount: 1e9 };
  const port = await openEdgePort({
    port: 0,
    log: silentLog,
    routes: () => undefined,
    subscribe: subscribeHandler(hub, new Admission(bounds, systemClock, systemIds), silentLog),
  });
  let users: string[] = [];
  // A batch comes off a link fresh, so its targets are in the processor's cache: made again and again, they would not be.
  const batch: Target[] = Array.from({ length: limits.linkTargetsCount }, () =>
    create(TargetSchema, { tenant: DEFAULT_TENANT, item: 0 }),
  );
  return {
    port: port.port,
    streams: () => hub.sessions().filter((session) => session.open).length,
    async tick() {
      if (users.length !== hub.streams) users = hub.sessions().map(({ user: { userId } }) => userId);
      seq += 1;
      for (let from = 0; from < users.length; from += batch.length) {
        const targets = batch.slice(0, users.length - from);
        for (let index = 0; index < targets.length; index++) {
          targets[index]!.userId = users[from + index]!;
          targets[index]!.seq = seq;
        }
        await hub.deliver([itemField], targets);
        // A link brings its batches one by one.
        await new Promise((resolve) => setImmediate(resolve));
      }
      head = seq;
    },
  };
}
