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
  /** How long a user who vanished without closing counts as coming back, and the most that a category may ask for. */
  lingerMs: 5_000,
  lingerMaxMs: 60_000,
  /**
   * Who was coming or going while an item was stored, or is at an edge that did not answer, is looked for again after these
   * pauses, all in all within 10 s; so many items wait for it.
   */
  lookAgainMs: [1_000, 3_000, 5_000],
  lookAgainCount: 5_000,
  categoriesPerTenantCount: 1_000,
  /** An open row that waits for a record or a page is looked at after this, in case the log lost it. */
  reconcileMs: 45_000,
  /** A notification that the log does not bring back is put on it again less and less often, but at least so often. */
  reconcileMaxMs: 600_000,
  /** Recipients that one batch of the log expands by itself; what is more goes by way of fan-out pages. */
  batchUsersCount: 2_000,
  /** Dispatches of a lane that may be without answer before expansion waits for them. */
  dispatchesInFlightCount: 16,
  /**
   * Due rows taken at once, and how long this router has for them before another takes them: a turn takes 0.1 s, and 2 s
   * with an edge that does not answer. What a router that was killed had taken waits for so long.
   */
  dueRowsCount: 200,
  dueLeaseMs: 5_000,
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
