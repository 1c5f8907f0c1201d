// Bounds of what backends send.

export const ingestLimits = {
  ingestMessageBytes: 1_048_576,
  sendBatchCount: 500,
  audienceUsersCount: 10_000,
  idempotencyKeptMs: 7 * 86_400_000,
  /** Keys deleted by one statement. */
  idempotencyTrimRows: 5_000,
  idempotencyTrimMs: 60_000,
  /** What waits for the next commits. */
  acceptQueueCount: 10_000,
  acceptQueueBytes: 67_108_864,
  acceptBatchCount: 500,
  acceptBatchBytes: 8_388_608,
  /** 2, 3 and 4 measured with 1,024 waiting: 43, 53 and 55 k rows/s on two shared cores. */
  acceptCommitsInFlight: 4,
  acceptSweepMs: 1_000,
  /** In the queue at most, when the caller sets no deadline. */
  acceptWaitMs: 30_000,
  overloadedRetryMs: 1_000,
  /** What may wait for the log before a lane is refused. Half an hour without Kafka must pass on every lane. */
  shedBulkBytes: 1_073_741_824,
  shedNormalBytes: 2_147_483_648,
  shedCriticalBytes: 4_294_967_296,
  shedBulkAgeMs: 35 * 60_000,
  shedNormalAgeMs: 60 * 60_000,
  shedCriticalAgeMs: 120 * 60_000,
  shedRetryMs: 15_000,
  /** Ahead at most, so that a notification is still kept when its time comes. */
  sendAheadMs: 90 * 86_400_000,
  /** Batches of one Publish stream between arrival and answer. */
  publishBatchesCount: 4,
  statusPageRows: 100,
  statusPageRowsMax: 1_000,
  /** Open WatchNotification streams. */
  watchersCount: 2_000,
  watchPollMs: 200,
  /** The poller rests this many times as long as its look at the store took. */
  watchRestFactor: 10,
  explainAttemptsCount: 200,
  /** An accepted notification that nobody expanded is looked at again after this. */
  reconcileAfterMs: 60_000,
  defaultTtlMs: 7 * 86_400_000,
} as const;
