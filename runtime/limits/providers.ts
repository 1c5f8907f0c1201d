// Bounds of provider calls, their leases and retries.

export const providersLimits = {
  providerRetryMs: [60_000, 300_000, 900_000, 3_600_000],
  /** A provider call; what it has not answered by then is over. */
  providerCallMs: 30_000,
  /** A provider that has not settled so long after its signal aborted is left behind: the outcome is unknown. */
  providerSettleMs: 1_000,
  /** The claim of a process that died ends after this; a living one renews those that wait for their slot. */
  providerClaimLeaseMs: 15_000,
  providerRenewMs: 5_000,
  /** A call is taken for interrupted after this: it takes 31 s at most, and the store may be away for the rest. */
  providerSendingLeaseMs: 60_000,
  /** Pauses while the store is away that is to be told what became of a call: doubled from the first to the last. */
  providerStoreMs: [100, 2_000],
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
  /** How long a row waits when all providers of its channel are paused and none says for how long; the least patience asked for. */
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
  /** A push that could not be taken back is tried again after these pauses, and no more; a try whose process died ends with its lease. */
  clearRetryMs: [5_000, 60_000],
  clearLeaseMs: 45_000,
  /** Rows of one lane whose pushes a process takes back at once. */
  clearsInFlightCount: 32,
  /** Messages that the sandbox keeps per tenant and channel. */
  sandboxKeptCount: 10_000,
  /** Providers that one tenant, and that all tenants together, may configure; about 1 KB each in every provider process. */
  providerConfigsPerTenantCount: 64,
  providerConfigsCount: 10_000,
  /** How long workers go on by the pools of before. */
  providerConfigsPollMs: 1_000,
  /** Data keys of tenants that a process holds open, and that one statement of a rotation reads. */
  tenantKeysOpenCount: 1_000,
  tenantKeysPageRows: 500,
  providerTestTtlMs: 300_000,
  providerRateMax: 100_000,
  /** Of a provider's rate, what each lane has for itself; what a lane does not use goes to the others. */
  providerRateShares: { critical: 0.5, normal: 0.3, bulk: 0.2 },
  /** What a provider that was idle takes at once, as a part of its rate in calls a second. */
  providerRateBurst: 0.5,
  /** A row whose turn does not come within this is given back. */
  providerTurnMs: 5_000,
  /** A provider whose lane would keep a row waiting for longer is taken when no other is ready. Bulk waits rather than go elsewhere. */
  providerLateMs: { critical: 500, normal: 5_000, bulk: Number.POSITIVE_INFINITY },
  /** Throttled answers within this count as one: they were on their way together. */
  providerRateCutMs: 1_000,
  /** Of the rate at which it was throttled: what is left, and what is added again each second. */
  providerRateCut: 0.5,
  providerRateStep: 0.05,
  /** A breaker opens at this share of failures among at least so many calls of the last so many milliseconds, too. */
  breakerFailureShare: 0.5,
  breakerShareCallsCount: 20,
  breakerShareMs: 10_000,
  /** A provider that may be tried again is left to the bulk lane for so long, if bulk was about to use it in the last so many milliseconds. */
  breakerBulkFirstMs: 2_000,
  breakerBulkSeenMs: 30_000,
  /** Longest retry schedule that may be configured. */
  providerRetriesCount: 16,
} as const;
