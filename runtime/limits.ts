// Every bound of the mesh, named with its unit. Nothing grows past what stands here.

export const limits = {
  // --- PostgreSQL
  databaseConnections: 12,
  databaseConnectMs: 5_000,
  transactionTries: 5,

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

  // --- event log
  logTries: 5,
} as const;
