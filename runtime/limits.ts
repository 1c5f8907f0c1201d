// Every bound of the mesh, named with its unit. Nothing grows past what stands here.

export const limits = {
  // --- traces
  /** Spans that wait to be sent; about 1 KB each. Further ones are dropped. */
  traceQueueSpans: 16_384,
  traceBatchSpans: 1_024,
  /** How old a span gets before it is sent: what a kill loses. */
  traceDelayMs: 500,
  traceExportMs: 10_000,
  traceFlushMs: 2_000,

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

  // --- the stack of real services (deploy/stack)
  /** A JVM on a busy machine of two cores; 5 s on a quiet one. */
  stackStartMs: 120_000,
  /** A service that ends at once is tried again so long: after a kill, its port or shared memory may still be taken. */
  stackRetryMs: 5_000,
  stackStopMs: 30_000,
  stackProbeMs: 2_000,
  stackPollMs: 50,
  /** Fetching programs on a slow line: 43 MB of jars. */
  stackFetchMs: 900_000,
  /** How long one command waits while another one works on the same stack. */
  stackBusyMs: 180_000,

  // --- every port that speaks gRPC
  portConnectionsCount: 20_000,
  /** Calls at once on one HTTP/2 connection; without a bound one connection opened 60,000. */
  connectionStreamsCount: 100,
  /** Streams that may be reset in a row before the connection is closed (rapid reset); Node waits for 1,000. */
  streamResetBurstCount: 100,
  streamResetsPerSecond: 33,
  /** PING and SETTINGS frames of one connection within a sweep. */
  controlFramesCount: 200,
  portSweepMs: 10_000,
  /** From the connection to its first bytes; a TLS handshake included. */
  handshakeMs: 10_000,
  headersMs: 10_000,
  /** From the head of an HTTP/1.1 request to its last byte. */
  requestMs: 60_000,
  connectionIdleMs: 300_000,
  headerBytes: 16_384,
  /** Per stream and per connection; Node's 64 KiB would hold a batch of 500 over several round trips. */
  streamWindowBytes: 262_144,
  connectionWindowBytes: 1_048_576,
  errorSentenceChars: 512,
  errorViolationsCount: 16,

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

  // --- edge: the wire
  /** Streams are connections here: the machine's file descriptors end before this does. */
  edgeConnectionsCount: 200_000,
  /** From the connection to the last byte of its first request. */
  edgeFirstRequestMs: 10_000,
  edgeSweepMs: 1_000,
  /** A stream that took none of what waits for it for so long is cut: its peer is gone, or resumes by its cursor. */
  streamStalledMs: 120_000,
  /** How long a connection whose stream we ended may take to close its side. */
  streamLingerMs: 5_000,
  /** Streams flushed before the event loop gets its turn: about 1 ms. A broadcast in one go stalls it for as long as it takes. */
  flushSliceCount: 100,
  edgeCloseMs: 10_000,

  // --- providers
  providerRetryMs: [60_000, 300_000, 900_000, 3_600_000],
  /** A provider call; what it has not answered by then is over. */
  providerCallMs: 30_000,
  /** A claimed row waits at most this long for its slot before somebody else may take it. */
  providerClaimLeaseMs: 60_000,
  /** A row in SENDING is taken for interrupted after this; longer than any chain of calls that it may make. */
  providerSendingLeaseMs: 120_000,
  /** Providers of one channel that are asked in one try, one after the other. */
  providerRoundsCount: 3,
  /** Rows of one channel and lane that a process holds at once. */
  providerClaimedCount: 128,
  /** Calls at once per provider and lane. Each lane has its own, so that bulk never takes what an OTP needs. */
  providerCallsCount: { critical: 16, normal: 16, bulk: 8 },
  /** Due rows taken by one statement. */
  providerDueCount: 64,
  /** The due loop looks at least this often; a record or a retry wakes it earlier. */
  providerDueMs: 2_000,
  /** Failures in a row that open a breaker, and how long it stays open before one call may try. */
  breakerFailuresCount: 5,
  breakerOpenMs: 20_000,
  /** How long a row waits when all providers of its channel are paused and none says for how long. */
  providerPausedMs: 2_000,
  /** A provider that asks for more patience than this is asked again after this. */
  throttledMs: 600_000,
  providerReportMs: 5_000,
  /** Reports older than this are of a process that is gone. */
  providerReportKeptMs: 60_000,
  /** Devices of one user that a push goes to: those seen last. */
  userDevicesCount: 20,
  smtpConnectMs: 10_000,
  /** What a provider says in a refusal is cut here. */
  providerReasonChars: 500,
  /** Messages that the sandbox keeps per tenant and channel. */
  sandboxKeptCount: 10_000,
  /** Longest retry schedule that may be configured. */
  providerRetriesCount: 16,

  // --- event log
  logTries: 5,
} as const;
