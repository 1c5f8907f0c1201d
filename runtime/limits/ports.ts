// Bounds of every port that speaks gRPC, and of the traces that leave a process.

export const portsLimits = {
  // --- traces
  /** Spans that wait to be sent; about 1 KB each. Further ones are dropped. */
  traceQueueSpans: 16_384,
  traceBatchSpans: 1_024,
  /** How old a span gets before it is sent: what a kill loses. */
  traceDelayMs: 500,
  traceExportMs: 10_000,
  traceFlushMs: 2_000,

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
} as const;
