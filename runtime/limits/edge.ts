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
  /** With one device id, such as tabs, or a phone whose old streams are not yet known to be gone: past it the oldest ends. */
  streamsPerDeviceCount: 8,
  /** How long the oldest is told to stay away, so that two that take turns do so seldom. */
  deviceRetryMs: [30_000, 60_000],
  /** From one address that is not this machine's; behind it may be a whole company. An IPv6 address counts by its /64. */
  streamsPerAddressCount: 2_000,
  /** Addresses in `x-forwarded-for` that are looked at, from the nearest on. */
  forwardedHopsCount: 16,
  /**
   * Token buckets of new streams: those that resume, and those that begin. One costs the loop about 0.1 ms and the
   * database a share of a batched query.
   */
  streamResumesPerSecond: 5_000,
  streamResumesBurstCount: 10_000,
  streamBeginsPerSecond: 5_000,
  streamBeginsBurstCount: 10_000,
  /** Tokens that were no good, in all and by address: past it the address is not listened to. A check costs about 0.1 ms. */
  badTokensPerSecond: 1_000,
  badTokensBurstCount: 2_000,
  badTokensPerAddressPerSecond: 20,
  badTokensPerAddressBurstCount: 200,
  /** Addresses whose bad tokens are remembered. */
  badTokenAddressesCount: 10_000,
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
  /** So long before its token expires a stream is told, or when half of a shorter life is over. */
  tokenNoticeMs: 60_000,
  /** Users who left lately, about 200 bytes each, and how long they are remembered. */
  recentUsersCount: 20_000,
  recentMs: 300_000,
  /** Streams that have begun are looked up in the store once more, so much later at least, and at this pace: 10 queries a second. */
  recentVerifyPerSecond: 2_560,
  recentVerifyMs: 100,
  /** What was revoked is looked up this often, and looked at for so long: a token may pass a moment before all know of it. */
  revocationsPollMs: 1_000,
  revocationsHeldMs: 10_000,
  /** Routers that are asked, one after the other, to bring a signal to another edge. */
  signalPeersCount: 3,
  /** Signals of this edge that wait for their outcome. */
  signalsWaitingCount: 10_000,
  /** Retry delay of a call whose session's edge was not reached. */
  signalRetryMs: [500, 2_000],
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
  /** Clients that one edge asks to reconnect, for whatever reason, in a second. */
  reconnectsPerSecond: 1_000,
  /** Of them, those whom a changed ring gives to another edge: nothing presses. */
  ringMovesPerSecond: 200,
  ringMovesTickMs: 100,
  /** A view stands for so long before a stream is moved because of it. */
  viewSettledMs: 5_000,
  /** Streams looked at in one tick of the moves: about 1 ms. */
  ringMovesScanCount: 2_000,
  /** A GoAway asks a client back at a moment within this time, so that a tick's clients do not come together. */
  goAwaySpreadMs: 1_000,
  /** How long a drain waits until the others know that this edge leaves. */
  drainLeaveMs: 2_000,
  /** By then every client has been told; whose turn would be later is told to come later. */
  drainTellMs: 18_000,
  /** After its GoAway a stream may still acknowledge what it has. */
  drainAckMs: 3_000,

  // --- edge: the wire
  /** Streams are connections here: the machine's file descriptors end before this does. */
  edgeConnectionsCount: 200_000,
  /** Connections that have not made their first request; a storm's come in thousands at once. */
  edgeOpeningsCount: 8_192,
  /** From the connection to the last byte of its first request. */
  edgeFirstRequestMs: 10_000,
  edgeSweepMs: 1_000,
  /**
   * What one HTTP/2 connection may send, whatever its frames: 80,000 of the smallest a second are 2 % of a core. Calls of a
   * gateway's many users are well below.
   */
  connectionBytesPerSecond: 1_048_576,
  connectionBurstBytes: 16_777_216,
  /** An HTTP/2 connection from which nothing came for so long is asked whether it lives, and cut when it does not answer. */
  connectionPingMs: 30_000,
  connectionPongMs: 20_000,
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
