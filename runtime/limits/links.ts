// Bounds of the links between routers and edges, at both ends.

export const linksLimits = {
  /** From handing a batch to a link to its answer; after it the edge counts as silent. */
  linkAnswerMs: 1_000,
  /** Batches without answer per edge and lane. */
  linkInFlightCount: 8,
  /** Batches that a link has, sent or not, over all lanes; their bytes, with those that the socket has not yet taken. */
  linkPendingCount: 64,
  linkBufferBytes: 8_388_608,
  /** Batches of one link that may be without answer, as the edge sees it. */
  linkCreditsCount: 64,
  /** Answers that wait for a router which does not read; past it its requests are not read either. */
  linkBatchesCount: 16,
  linkTargetsCount: 500,
  /** Shared item bytes in one batch; one item more may go over it (a notification is at most 1 MiB). */
  linkBatchBytes: 1_048_576,
  linkMessageBytes: 4_194_304,
  /** The pause before a link is opened again, doubled each time. */
  linkReconnectMs: 100,
  linkReconnectMaxMs: 5_000,
  /** From the stream to the edge's first answer. */
  linkGreetingMs: 3_000,
  /** A link whose batches are not answered, and that says nothing else for so long, is opened anew. */
  linkSilentMs: 10_000,
  linkKeepaliveMs: 5_000,
  linkKeepaliveAnswerMs: 3_000,
  /** A token for a link is good for so long; it is looked at when the link opens. */
  linkTokenMs: 60_000,
  /** Changes, signals, results in one message besides batches. */
  linkMailCount: 1_000,
  /** Changes are told to the other edges so often, all users of that time together. */
  linkChangedMs: 20,
  /** Users whose change waits for a link that does not take more; past it the heartbeat tells the edges. */
  linkChangedCount: 10_000,
  /** Signals of one link without answer, and how long each waits for it, over all hops. */
  linkSignalsCount: 4_096,
  signalMs: 2_000,
  /** Edges that are asked for a user when the hints are lost. */
  askEdgesCount: 16,
} as const;
