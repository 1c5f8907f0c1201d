// Bounds of the real services that tests run on.

export const stackLimits = {
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
} as const;
