// Bounds of the event log and the outbox before it.

export const eventLogLimits = {
  // --- event log
  logTries: 5,
  /** Partitions of a topic: at most so many consumers of one group share it. */
  logPartitionsCount: 8,
  /** Records handed to a consumer in one batch of one partition. */
  logBatchRecords: 250,
  /** Records of one partition that wait in memory; the rest stays on the log. */
  logBufferRecords: 500,
  /** Partitions of one subscription that are handled at once. */
  logConcurrentPartitionsCount: 16,
  /** Between tries of one record, growing from the first to the last. */
  logRetryMs: [20, 100, 500, 2_000],
  /** Pause after "not now" (a store that does not answer): doubled from the first up to the last, without end. */
  logNotNowMs: [100, 2_000],
  /** A member of a group that is not heard of for so long has lost its partitions. */
  logLeaseMs: 5_000,
  /** Members renew, look for new members and for records whose wake-up was lost. */
  logTickMs: 1_000,
  /** How long a batch in flight may go on when its partition moves to another member. */
  logRevokeMs: 10_000,
  /** Finished offsets are gathered for so long before they are committed: a crash reads so much again. */
  logCommitDelayMs: 10,
  /** Appends are announced to other processes at most this often. */
  logNotifyDelayMs: 5,
  logListenRetryMs: 1_000,
  logReadRetryMs: 500,
  /** The PostgreSQL log's own connections, for reading, offsets and leases. */
  logConnectionsCount: 3,
  logRetentionTickMs: 5_000,
  logRetentionRecords: 10_000,
  /** Records that a group never finished are removed after this; every open delivery has a due time of its own. */
  logKeptMs: 7 * 86_400_000,
  /** How old the answer of `backlog()` may get. */
  backlogSampleMs: 1_000,

  // --- event log: Kafka
  /** The broker forgets a consumer that was silent for so long; the least that brokers allow by default. Until then nobody reads its partitions. */
  kafkaSessionMs: 6_000,
  /** How soon a consumer learns that the group is shared out anew: nobody reads on until all have. */
  kafkaHeartbeatMs: 1_000,
  kafkaRebalanceMs: 8_000,
  kafkaRequestMs: 10_000,
  kafkaConnectMs: 3_000,
  /** An idle fetch waits so long at the broker; a partition that was paused starts again after at most this. */
  kafkaFetchWaitMs: 500,
  kafkaFetchPartitionBytes: 262_144,
  kafkaFetchBytes: 4_194_304,
  /** Tries of kafkajs inside one call, and their pauses. */
  kafkaRetriesCount: 3,
  kafkaRetryMs: 100,
  kafkaRetryMaxMs: 1_000,
  /** A consumer without any sign of life for so long is made anew. It is silent while it waits for others to join: a session and a rebalance. */
  kafkaSilentMs: 20_000,
  /** Pause before a consumer that crashed is made anew. */
  kafkaRestartMs: 1_000,
  kafkaStopMs: 5_000,
  /** One produce, and how often it is sent again within one append. */
  kafkaProduceMs: 5_000,
  kafkaProduceRetriesCount: 2,
  kafkaLeaderTriesCount: 50,
  kafkaCommitDelayMs: 50,
  kafkaWatchMs: 1_000,
  /** The same line of kafkajs is logged at most this often; so many different ones are told apart. */
  kafkaLogMs: 10_000,
  kafkaLogLinesCount: 200,

  // --- outbox
  /** A row belongs to the process that wrote it for so long; then the sweep may take it. What a killed process left waits until then. */
  outboxLeaseMs: 8_000,
  /** A transaction that wrote rows and never said that it was committed has ended by then: `databaseIdleMs` ends it. */
  outboxWriteMs: 12_000,
  /** What waits in memory to be published; beyond it rows are left to the sweep. */
  outboxQueueRecords: 20_000,
  outboxQueueBytes: 16_777_216,
  outboxBatchRecords: 500,
  /** Published rows are deleted together after at most this. */
  outboxDeleteDelayMs: 50,
  outboxSweepMs: 1_000,
  /** Pause of the sweep while the log is away: doubled from the first to the last. */
  outboxAwayMs: [500, 4_000],
  /** Rows that the sweep takes to find out whether the log is back. */
  outboxProbeRecords: 20,
  outboxConnectionsCount: 2,
  /** The backlog is counted row by row up to this, and estimated beyond. */
  outboxCountedRecords: 5_000,
} as const;
