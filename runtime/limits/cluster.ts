// Bounds of presence and membership.

export const clusterLimits = {
  /** So many times the users of an edge of weight 1. A unit of weight is a pass over the slots, 0.25 ms, once. */
  ringWeightMax: 8,
  /** An edge that has not renewed for so long is gone, and its users with it. */
  edgeLeaseMs: 6_000,
  edgeRenewMs: 2_000,
  /** Presence changes are sent to the cluster store together, at most this often. */
  presenceTickMs: 10,
  /** Changes that wait while the store is away; beyond it everything is written anew once it is back. */
  presencePendingCount: 50_000,
  /** Users in one round trip. */
  presenceBatchCount: 1_000,
  presenceLocateMs: 200,
  /** What an edge's lease said is believed for so long. */
  presenceLeaseCacheMs: 500,
  /** Entries of a user whom nobody writes any more vanish after this; present ones are written again in half of it. */
  presenceKeptMs: 12 * 3_600_000,
  redisConnectMs: 3_000,
  redisReconnectMs: [50, 2_000],
  redisCommandMs: 2_000,
  /** A connection without any answer for so long is given up; pings keep an idle one alive. */
  redisSilentMs: 6_000,
  redisPingMs: 2_000,
  redisQueueCount: 10_000,
} as const;
