// Bounds of receipts: how old they may be, and what is kept to verify them.

export const receiptsLimits = {
  /** Clocks may differ by this. */
  receiptSkewMs: 300_000,
  /** Of calls that are signed anew for each try (Standard Webhooks). */
  receiptWindowMs: 300_000,
  /** SendGrid tries for 24 h after the event; whether a later try is signed anew is not written anywhere. */
  sendgridWindowMs: 86_400_000,
  /** Vonage tries for 24 h, and the time it signs is the message's. */
  vonageWindowMs: 86_400_000,
  /** SNS keeps the first try's time: its own policy tries for an hour at most, and one set by hand as well. */
  snsWindowMs: 3_600_000,
  /** Messages in one call; more than any provider puts into one. */
  receiptsPerCallCount: 10_000,
  /** Signatures of one call that are looked at: one for each secret that is still known. */
  webhookSignaturesCount: 8,
  /** Of a mail that came back, this much is read: its report stands before the mail that it returns. */
  dsnBytes: 262_144,
  dsnPartsCount: 16,
  dsnFieldChars: 2_000,
  dsnRecipientsCount: 100,
  snsCertificateBytes: 16_384,
  snsCertificatesCount: 16,
  snsFetchMs: 10_000,
} as const;
