// What the store knows of keys and revocations, held in memory so that a token is judged without asking it.

export interface KnownApiKey {
  readonly id: string;
  readonly tenant: string;
  readonly scopes: readonly string[];
  /** SHA-256 of the whole key. */
  readonly hash: Uint8Array;
  readonly createdMs: number;
  readonly expiresMs: number | undefined;
  readonly revokedMs: number | undefined;
}

export interface Credentials extends AsyncDisposable {
  /** Milliseconds since the epoch by the store's clock. */
  nowMs(): number;
  apiKey(id: string): KnownApiKey | undefined;
  /**
   * Tokens of the user that were issued until then are refused; -Infinity: none. `deviceId`: what the token is bound to,
   * or the device that says it is calling; empty: none.
   */
  notBeforeMs(tenant: string, userId: string, deviceId: string): number;
  /** Reads what changed, at most every `limits.credentialsLookMs`; who asks meanwhile waits for the same. Rejects STORE_UNAVAILABLE. */
  look(): Promise<void>;
}
