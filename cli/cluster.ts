// Chooses how the processes of a mesh find one another: in Redis, or not at all, since there is but one.

import { MemoryMembership } from '../cluster/membership.memory.ts';
import { RedisMembership } from '../cluster/membership.redis.ts';
import type { Membership } from '../cluster/membership.ts';
import { MemoryPresence } from '../cluster/presence.memory.ts';
import { RedisPresence } from '../cluster/presence.redis.ts';
import type { Presence } from '../cluster/presence.ts';
import { RedisConnection } from '../cluster/redis.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { silentLog } from '../runtime/log.ts';
import type { LogParts } from './stores.ts';

export interface Cluster {
  presence: Presence;
  membership: Membership;
}

/** What it opens is closed by `owned`. Does not wait for Redis: what it cannot say counts as nobody being there. */
export function openCluster(
  { redisUrl }: Config,
  { log, ids, cli: { clock } }: LogParts,
  owned: AsyncDisposableStack,
): Cluster {
  if (!redisUrl)
    return {
      membership: owned.use(new MemoryMembership()),
      presence: owned.use(new MemoryPresence({ clock })),
    };
  return {
    membership: owned.use(new RedisMembership({ url: redisUrl, log, clock })),
    presence: owned.use(new RedisPresence({ url: redisUrl, log, clock, ids })),
  };
}

/** Rejects with CLUSTER_UNAVAILABLE when Redis does not answer. */
export async function probeRedis(url: string): Promise<void> {
  await using redis = new RedisConnection({ url, log: silentLog, clock: systemClock });
  await redis.settled();
  await redis.run((client) => client.ping());
}
