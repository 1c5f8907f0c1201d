// Bounds of client streams and of their wire.

export const edgeLimits = {
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
} as const;
