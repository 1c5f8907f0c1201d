// Bounds of HTTP calls to providers.

export const httpCallsLimits = {
  /** Calls at once to one provider: as many as there are slots of all lanes, so that nothing waits inside the pool, where nobody could tell. */
  httpConnectionsCount: 40,
  httpConnectMs: 10_000,
  /** An idle connection is closed by us before a server would: a call on one that is being closed is one of which nobody knows. */
  httpIdleMs: 4_000,
  /** Providers answer in a few kilobytes; what is longer is cut, and only its status counts. */
  httpAnswerBytes: 65_536,
  httpAnswerHeadersBytes: 16_384,
  /** How long a provider is left alone that asks for patience without saying how much. */
  throttledUnsaidMs: 10_000,
} as const;
