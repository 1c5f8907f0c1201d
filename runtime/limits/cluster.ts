// Bounds of presence and membership.

export const clusterLimits = {
  /** So many times the users of an edge of weight 1. A unit of weight is a pass over the slots, 0.25 ms, once. */
  ringWeightMax: 8,
  /** So long former owners are asked too, while a linked edge has not said that it has the present view. */
  viewDifferMs: 15_000,
  /** Rings before the present one that are kept, when edges come and go one after the other. */
  formerRingsCount: 4,
  /**
   * A death is seen when the lease has ended: the 3 s that a mesh has for it, less half a second to tell everybody. Of that
   * a process whose event loop stands still has two seconds until it counts as dead.
   */
  membershipLeaseMs: 2_500,
  membershipRenewMs: 400,
  /** Looks at the view that are asked for while one is under way. */
  membershipLookMs: 20,
  /** A half-open connection is replaced while the lease still holds. */
  membershipSilentMs: 1_500,
  /** What an edge that has not renewed for so long has said of its users counts no more; its event loop may stand still for two seconds. */
  presenceLeaseMs: 3_000,
  presenceRenewMs: 750,
  /** As `membershipSilentMs`; above the pause between two pings, for those who only read. */
  presenceSilentMs: 2_500,
  /** How long a user who vanished without closing can count as coming back; each category chooses within it. */
  lingerMaxMs: 60_000,
  /** Presence changes are sent to the cluster store together, at most this often. */
  presenceTickMs: 10,
  /** Changes that wait while the store is away; beyond it everything is written anew once it is back. */
  presencePendingCount: 50_000,
  /** Users in one round trip. */
  presenceBatchCount: 1_000,
  presenceLocateMs: 200,
  /** A write or a renewal without an answer for so long is tried again: twice within a lease. */
  presenceWriteMs: 1_000,
  /** Entries of a user whom nobody writes any more vanish after this; present ones are written again in half of it. */
  presenceKeptMs: 12 * 3_600_000,
  redisConnectMs: 3_000,
  /** The pause before Redis is tried again doubles from the one to the other: below half a lease. */
  redisReconnectMs: [50, 1_000],
  redisCommandMs: 2_000,
  /** A connection without any answer for so long is given up; pings keep an idle one alive. */
  redisSilentMs: 6_000,
  redisPingMs: 1_000,
  redisQueueCount: 10_000,
} as const;
