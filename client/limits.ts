// Every bound of the client, named with its unit.

export const limits = {
  // --- one stream
  /** From the call to Hello. */
  connectMs: 10_000,
  /** A stream that says nothing for so many heartbeats, and the slack on top, is dead. */
  silentHeartbeats: 2,
  silentSlackMs: 5_000,
  /** Taken when Hello names none. */
  heartbeatMs: 25_000,
  /** A stream that lived so long shows that all is well: waits begin at the shortest again. */
  stableMs: 10_000,

  // --- coming back
  /** Ceilings of the waits, which are drawn from 0 to the ceiling: the first, doubled each time, up to the last. */
  reconnectBaseMs: 500,
  reconnectMaxMs: 8_000,
  /** An edge that asks for more is not followed: somebody's clock or proxy is wrong. */
  reconnectToldMs: 300_000,
  /** How long this client asks not to be sent on, after that led nowhere. */
  stayMs: 60_000,
  /** So many times in a row one edge may name another. */
  movesCount: 2,

  // --- tokens
  tokenMs: 15_000,
  /** Tokens in a row that the edge may refuse before the client gives up. */
  refusalsCount: 5,
  /** Tries to swap the token of an open stream. */
  swapTriesCount: 5,
  /** A token is not used any more when this part of its life is left. */
  tokenRestShare: 0.1,

  // --- what is received
  /** Frames that wait for the app; past it the stream is not read. */
  feedCount: 256,
  ackDelayMs: 200,
  ackItemsCount: 50,
  /** Positions of one call: as a range, and one by one. */
  ackSpanCount: 1_000,
  ackExtraCount: 1_000,
  ackTracesCount: 100,
  /** Runs of positions that wait for their ack; past it the oldest is given up and the mesh goes on to other channels. */
  ackRunsCount: 1_000,

  // --- tabs
  /** Of what one tab keeps for others. */
  recentCount: 256,
  recentBytes: 1_048_576,
  /** Calls of one follower that wait for the leader. */
  asksCount: 100,

  // --- calls
  callMs: 10_000,
  /** How long `close` waits for acks. */
  closeMs: 3_000,
} as const;
