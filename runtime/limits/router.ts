// Bounds of expansion and of due rows.

export const routerLimits = {
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
} as const;
