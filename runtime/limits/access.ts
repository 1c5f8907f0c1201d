// Bounds of tokens and keys, and of what is remembered of them.

export const accessLimits = {
  /** A token or key as it stands in the header, which itself takes 16 KiB. */
  tokenBytes: 8_192,
  /** How far an issuer's clock may be off the database's. */
  tokenLeewayMs: 30_000,
  /** From now to `exp` of a user's token at most: revocations are kept as long. */
  tokenLifetimeMs: 400 * 86_400_000,
  /** Of tokens that the mesh signs. */
  tokenTtlMs: 3_600_000,
  /** Of its life, after which a client that can have another one asks for it. */
  tokenRenewShare: 0.8,
  tokenTtlMaxMs: 30 * 86_400_000,
  tenantChars: 64,
  /** Of a secret that signs: as much as the hash of HS256 gives. */
  secretLeastBytes: 32,
  userIdBytes: 256,
  deviceIdBytes: 256,
  scopesCount: 32,
  /** Principals that are remembered, about 0.5 KB each. */
  tokenCacheCount: 20_000,
  /** What is remembered of tokens that are no good, so that a client in a loop costs little. */
  tokenRefusedCount: 1_000,
  tokenRefusedMs: 5_000,
  /** More at once would hold up the loop: 5,000 started together stalled it for 100 to 180 ms. */
  tokenChecksAtOnce: 32,
  tokenChecksWaitingCount: 20_000,
  tokenChecksRetryMs: 1_000,
  /** How long a key or token lives on at most after it was revoked. */
  credentialsPollMs: 1_000,
  /** A key that is not known yet is looked for at most this often. */
  credentialsLookMs: 100,
  apiKeyTtlMaxMs: 3_653 * 86_400_000,
  apiKeysCount: 100_000,
  apiKeysListedCount: 1_000,
  revocationsCount: 500_000,
  revocationsTrimMs: 3_600_000,
  /** Changed rows that one look reads. */
  credentialsPageRows: 10_000,
  /** Files in the directory where processes note their addresses. */
  notesCount: 1_000,
  jwksBytes: 262_144,
  jwksKeysCount: 100,
  jwksFetchMs: 5_000,
  jwksRefreshMs: 600_000,
  /** A token of a key that is not known makes the keys be fetched again, at most this often. */
  jwksAgainMs: 30_000,
  /** After a fetch that failed. */
  jwksRetryMs: 1_000,
} as const;
