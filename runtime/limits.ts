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
  /** One pool for each role in a process; the embedded server takes 60 connections. */
  roleConnectionsCount: { ingest: 8, router: 12, edge: 8, providers: 10, ops: 2 },
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
  /** Fetching programs on a slow line: 43 MB of jars, 120 MB of Chromium. */
  stackFetchMs: 900_000,
  /** How deep the libraries of a fetched program's libraries are followed. */
  stackLibraryLevelsCount: 8,
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

  // --- router
  /** Recipients expanded by one fan-out message. */
  pageUsersCount: 500,
  /** Recipients stored by one commit. */
  commitRecipientsCount: 100,
  /** From WRITTEN to the next step, when the notification does not say. */
  ackDeadlineMs: 10_000,
  /** From a provider taking a message to the next step, when the notification does not say. */
  providerAckDeadlineMs: 300_000,
  /** How long a user who vanished without closing counts as coming back. */
  lingerMs: 5_000,
  /** An open row that waits for a record or a page is looked at after this, in case the log lost it. */
  reconcileMs: 45_000,
  /** A notification that the log does not bring back is put on it again less and less often, but at least so often. */
  reconcileMaxMs: 600_000,
  /** Recipients that one batch of the log expands by itself; what is more goes by way of fan-out pages. */
  batchUsersCount: 2_000,
  /** Dispatches of a lane that may be without answer before expansion waits for them. */
  dispatchesInFlightCount: 16,
  /** Due rows taken at once, and how long this router has for them before another takes them. */
  dueRowsCount: 200,
  dueLeaseMs: 15_000,
  /** The due loop sleeps until the next due time, at most `dueSleepMs`; at least `dueBusyMs` while others hold what is due. */
  dueSleepMs: 1_000,
  dueBusyMs: 250,
  /** How often a stage looks at how far it is behind. */
  stageLagMs: 5_000,
  /** Sampled flows that a batch names as its links. */
  spanLinksCount: 20,
  /** The least time between two looks at a row whose stream is still catching up. */
  catchUpMs: 1_000,

  // --- links from routers to edges
  linkAnswerMs: 1_000,
  /** Batches without answer per edge and lane. */
  linkInFlightCount: 8,
  /** Batches without answer per link, over all lanes; bytes written to its socket and not yet taken. */
  linkPendingCount: 64,
  linkBufferBytes: 8_388_608,
  linkTargetsCount: 500,
  /** Shared item bytes in one batch; one item more may go over it (a notification is at most 1 MiB). */
  linkBatchBytes: 1_048_576,
  linkReconnectMs: 100,
  linkReconnectMaxMs: 5_000,
  linkKeepaliveMs: 10_000,
  linkKeepaliveAnswerMs: 5_000,
  linkMembersMs: 1_000,
  linkMessageBytes: 4_194_304,
  /** Changes are told to the other edges so often, all users of that time together. */
  linkChangedMs: 20,

  // --- edge
  edgeMessageBytes: 65_536,
  heartbeatMs: 25_000,
  /** Bytes waiting in one stream's socket before it is left to catch up from the store. */
  streamBufferBytes: 262_144,
  /** Streams of one process; it has 20,000 file descriptors. */
  edgeStreamsCount: 18_000,
  streamsPerUserCount: 32,
  /** Token bucket of new streams; one costs the loop about 0.1 ms and the database a share of a batched query. */
  streamOpensPerSecond: 5_000,
  streamOpensBurstCount: 10_000,
  /** How long a refused client is told to stay away, at least and at most. */
  admissionRetryMs: [1_000, 5_000],
  /** A stream is told to reconnect after half of this to all of it. */
  streamAgeMs: 14_400_000,
  /** Rows of one page of a replay, and of one query for many streams. */
  replayPageRows: 200,
  replayQueryRows: 8_192,
  replayQueryStreamsCount: 256,
  /** Queries at once. */
  replayQueriesCount: 3,
  /** After the database did not answer. */
  replayRetryMs: 1_000,
  /** Contents of notifications read by one query. */
  contentReadCount: 1_000,
  contentReadBytes: 8_388_608,
  itemCacheBytes: 33_554_432,
  /** Turns of the heartbeat wheel per heartbeat. */
  heartbeatSlotsCount: 50,
  /** Targets written before the loop is given back. */
  deliverSliceCount: 512,
  /** Users whose change waits for a link that does not take more; past it the heartbeat tells the edges. */
  linkChangedCount: 10_000,
  /** Batches of one link being written at once. */
  linkBatchesCount: 16,
  /** Ranges and positions of the acks that become one statement, statements at once, and acks that may wait. */
  ackBatchCount: 500,
  ackBatchPositionsCount: 10_000,
  ackBatchesCount: 2,
  ackWaitingCount: 20_000,
  /** Positions that one ack may cover, and that one statement looks at for one ack. */
  ackSpanCount: 100_000,
  ackSliceCount: 1_000,
  inboxPageCount: 200,
  keptSinceRefreshMs: 3_600_000,
  inboxPageBytes: 1_048_576,
  markItemsCount: 1_000,
  devicesPerUserCount: 50,
  /** GoAways are spread over this time, and so are the reconnects they ask for. */
  drainSpreadMs: 5_000,
  /** After its GoAway a stream may still acknowledge what it has. */
  drainAckMs: 3_000,

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
  /** What a client is told when its edge goes without having said GoAway. */
  shutdownRetryMs: 1_000,

  // --- providers
  providerRetryMs: [60_000, 300_000, 900_000, 3_600_000],
  /** A provider call; what it has not answered by then is over. */
  providerCallMs: 30_000,
  /** A provider that has not settled so long after its signal aborted is left behind: the outcome is unknown. */
  providerSettleMs: 1_000,
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
  /** Between two looks at rows that are due but held by others, or for which there is no room. */
  providerDueBusyMs: 250,
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

  // --- process
  /** How long a start waits for the event log before it serves without it. */
  startWaitMs: 15_000,
  /** What calls in flight get when their port closes. */
  portCloseMs: 5_000,
  /** Partitions ahead are looked after, and gauges set, this often. */
  partitionsMs: 3_600_000,
  gaugesMs: 5_000,

  // --- ops port
  readinessMs: 2_000,
  readinessAnswerMs: 1_500,
  opsRequestMs: 5_000,
  opsConnectionsCount: 100,

  // --- CLI
  /** From the first Ctrl-C to the end. */
  drainMs: 30_000,
  demoStepMs: 20_000,
  cliMessageBytes: 16_777_216,
  cliConnectMs: 10_000,
  /** Deliveries or dead letters that one command prints. */
  cliDeliveriesCount: 100_000,
  cliAckTries: 5,
  /** Items of one Ack: as many traceparents as it takes. */
  cliAckItems: 100,
  reconnectMinMs: 250,
  reconnectMaxMs: 15_000,

  // --- dead letters
  deadLetterErrorChars: 2_000,
  deadLetterReplayCount: 1_000,

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
  /** The broker forgets a consumer that was silent for so long; its lower bound is 6 s. */
  kafkaSessionMs: 10_000,
  kafkaHeartbeatMs: 2_000,
  kafkaRebalanceMs: 15_000,
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
  /** A consumer without any sign of life for so long is made anew. */
  kafkaSilentMs: 30_000,
  /** Pause before a consumer that crashed is made anew. */
  kafkaRestartMs: 1_000,
  kafkaStopMs: 10_000,
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
  /** A row belongs to the process that wrote it for so long; then the sweep may take it. */
  outboxLeaseMs: 15_000,
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

  // --- cluster
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
