// The mesh's keys and revocations in this process's memory, behind the store by a second at most, with the store's clock.
import type { Clock } from '../runtime/clock.ts';
import type { Credentials } from '../runtime/credentials.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import {
  type ApiKeysPosition,
  apiKeysSince,
  FIRST_API_KEYS_POSITION,
  type StoredApiKey,
} from './api-keys.ts';
import type { Database } from './database.ts';
import { FIRST_POSITION, type Revocation, type RevocationPosition, revocationsSince } from './revocations.ts';

export interface StoredCredentialsOptions {
  db: Database;
  clock: Clock;
  log: Log;
}

/** No id holds a zero character. */
const keyOf = (tenant: string, userId: string, deviceId: string): string =>
  `${tenant}\0${userId}\0${deviceId}`;

class StoredCredentials implements Credentials {
  readonly #options: StoredCredentialsOptions;
  readonly #apiKeys = new Map<string, StoredApiKey>();
  /** In the order in which they were revoked, so that what is too old stands first. */
  readonly #revoked = new Map<string, number>();
  readonly #stop = new AbortController();
  #keysPosition: ApiKeysPosition = FIRST_API_KEYS_POSITION;
  #revocationsPosition: RevocationPosition = FIRST_POSITION;
  /** What must be added to the monotonic clock for the store's time. */
  #aheadMs: number;
  /** One that has not begun to read. */
  #nextLook: Promise<void> | undefined;
  #reading: Promise<void> | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #polling: Promise<void> | undefined;
  #failing = false;

  constructor(options: StoredCredentialsOptions) {
    this.#options = options;
    this.#aheadMs = options.clock.now() - options.clock.monotonic();
  }

  nowMs(): number {
    return this.#options.clock.monotonic() + this.#aheadMs;
  }

  apiKey(id: string): StoredApiKey | undefined {
    return this.#apiKeys.get(id);
  }

  notBeforeMs(tenant: string, userId: string, deviceId: string): number {
    if (this.#revoked.size === 0) return Number.NEGATIVE_INFINITY;
    const all = this.#revoked.get(keyOf(tenant, userId, '')) ?? Number.NEGATIVE_INFINITY;
    if (deviceId === '') return all;
    return Math.max(all, this.#revoked.get(keyOf(tenant, userId, deviceId)) ?? Number.NEGATIVE_INFINITY);
  }

  look(): Promise<void> {
    this.#nextLook ??= this.#look();
    return this.#nextLook;
  }

  /** Who asks while the store is being read may mean something that came after: they wait for the next one. */
  async #look(): Promise<void> {
    const { clock } = this.#options;
    await this.#reading?.catch(() => {});
    const restMs = this.#lookedMs + limits.credentialsLookMs - clock.monotonic();
    if (restMs > 0) await clock.sleep(restMs, this.#stop.signal);
    this.#nextLook = undefined;
    this.#reading = this.read();
    await this.#reading;
  }

  async read(): Promise<void> {
    const { db, clock } = this.#options;
    const beganMs = clock.monotonic();
    const keys = await apiKeysSince(db, this.#keysPosition, (key) => this.#apiKeys.set(key.id, key));
    const answeredMs = clock.monotonic();
    this.#keysPosition = keys.position;
    // The statement ran somewhere between the two.
    this.#aheadMs = keys.nowMs - (beganMs + answeredMs) / 2;
    this.#revocationsPosition = await revocationsSince(db, this.#revocationsPosition, (revocation) =>
      this.#revoke(revocation),
    );
    this.#lookedMs = clock.monotonic();
    const oldMs = this.nowMs() - limits.tokenLifetimeMs - limits.tokenLeewayMs;
    for (const [key, notBeforeMs] of this.#revoked) {
      if (notBeforeMs >= oldMs) break;
      this.#revoked.delete(key);
    }
  }

  #revoke({ tenant, userId, deviceId, notBeforeMs }: Revocation): void {
    const key = keyOf(tenant, userId, deviceId);
    this.#revoked.delete(key);
    this.#revoked.set(key, notBeforeMs);
  }

  /** Looks every second until it is disposed. While the store is away what is known stays as it is. */
  poll(): void {
    const { clock, log } = this.#options;
    this.#polling = (async () => {
      while (!this.#stop.signal.aborted) {
        await clock.sleep(limits.credentialsPollMs, this.#stop.signal);
        if (this.#stop.signal.aborted) return;
        try {
          await this.look();
          this.#failing = false;
        } catch (error) {
          if (!this.#failing && !this.#stop.signal.aborted)
            log.warn({ err: error }, 'keys and revocations cannot be read; those that are known stay in use');
          this.#failing = true;
        }
      }
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#polling;
    await this.#nextLook?.catch(() => {});
    await this.#reading?.catch(() => {});
  }
}

/** Resolves when everything has been read once. Rejects with STORE_UNAVAILABLE. */
export async function openCredentials(options: StoredCredentialsOptions): Promise<Credentials> {
  const credentials = new StoredCredentials(options);
  await credentials.read();
  credentials.poll();
  return credentials;
}
