// Bounds of PostgreSQL, ours and the embedded one.

export const storageLimits = {
  // --- PostgreSQL
  databaseConnections: 12,
  /** One pool for each role in a process; the embedded server takes 60 connections. */
  roleConnectionsCount: { ingest: 8, router: 12, edge: 8, providers: 10, ops: 2 },
  databaseConnectMs: 5_000,
  /** The server ends a statement after this; a server that says nothing at all is given up a little later. */
  databaseStatementMs: 30_000,
  databaseAnswerMs: 35_000,
  /** The server ends a transaction whose process sends nothing for so long; its locks hold up everybody else. */
  databaseIdleMs: 10_000,
  transactionTries: 5,
  /** One migration, or the wait for another process that migrates. */
  migrationMs: 3_600_000,

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

  // --- dead letters
  deadLetterErrorChars: 2_000,
  deadLetterReplayCount: 1_000,

  // --- retention
  retentionDays: 365,
  /** What may be sent 90 days ahead and live 30 days must not go before; and a week is dropped whole. */
  retentionLeastDays: 130,
} as const;
