// Every bound of the mesh, named with its unit. Nothing grows past what stands here.

export const limits = {
  // --- PostgreSQL
  databaseConnections: 12,
  databaseConnectMs: 5_000,
  transactionTries: 5,

  // --- embedded PostgreSQL
  /** Recovery after a kill reads up to max_wal_size of log. */
  embeddedStartMs: 120_000,
  /** An old server that goes down (its parent was killed) writes its checkpoint first: 10-55 ms measured, more under load. */
  embeddedHeldMs: 30_000,
  embeddedHeldPollMs: 25,
  embeddedLockRoundsCount: 80,
  /** A holder that was killed a moment ago is still there for some milliseconds. */
  embeddedHolderGraceMs: 250,
  /** After this an old server that is left without a parent is asked to end. */
  embeddedOrphanMs: 2_000,
  /** Fast shutdown; then an immediate one. */
  embeddedStopMs: 30_000,
  /** A postmaster that dies is started again, so many times within the window. */
  embeddedRestartsCount: 5,
  embeddedRestartWindowMs: 60_000,

  // --- ingest
  ingestMessageBytes: 1_048_576,
  sendBatchCount: 500,
  audienceUsersCount: 10_000,
  idempotencyKeptMs: 7 * 86_400_000,
  defaultTtlMs: 7 * 86_400_000,

  // --- router
  /** Recipients expanded by one fan-out message. */
  pageUsersCount: 500,
  /** Recipients stored by one commit. */
  commitRecipientsCount: 100,
  /** From WRITTEN to the next step, when the notification does not say. */
  ackDeadlineMs: 10_000,
  /** How long a user who vanished without closing counts as coming back. */
  lingerMs: 5_000,

  // --- edge
  edgeMessageBytes: 65_536,
  heartbeatMs: 25_000,
  /** Bytes waiting in one stream's socket before it is left to catch up from the store. */
  streamBufferBytes: 262_144,

  // --- providers
  providerRetryMs: [60_000, 300_000, 900_000, 3_600_000],
  /** Longest retry schedule that may be configured. */
  providerRetriesCount: 16,

  // --- event log
  logTries: 5,
} as const;
