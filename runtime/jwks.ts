// The public keys at a JWKS URL: fetched in the background, bounded, and kept while the URL does not answer.
import {
  type CryptoKey,
  createLocalJWKSet,
  errors,
  type FlattenedJWSInput,
  type JWSHeaderParameters,
} from 'jose';
import type { Clock } from './clock.ts';
import { CarillonError } from './errors.ts';
import { limits } from './limits.ts';
import type { Log } from './log.ts';

export interface JwksOptions {
  url: string;
  clock: Clock;
  log: Log;
}

type Keys = ReturnType<typeof createLocalJWKSet>;

/** Rejects with whatever went wrong: no answer in time, more than `limits.jwksBytes`, no key set. `text`: as it was sent. */
async function fetchKeys(url: string, signal: AbortSignal): Promise<{ text: string; keys: Keys }> {
  const response = await fetch(url, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(limits.jwksFetchMs)]),
    redirect: 'error',
    headers: { accept: 'application/jwk-set+json, application/json' },
  });
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new Error(`the answer was HTTP ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.length;
    if (bytes > limits.jwksBytes) throw new Error(`the answer is larger than ${limits.jwksBytes} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const set = JSON.parse(text);
  if (Array.isArray(set?.keys) && set.keys.length > limits.jwksKeysCount)
    throw new Error(`there are more than ${limits.jwksKeysCount} keys`);
  return { text, keys: createLocalJWKSet(set) };
}

export class Jwks implements Disposable {
  readonly #options: JwksOptions;
  readonly #stop = new AbortController();
  #keys: Keys | undefined;
  #text = '';
  #version = 0;
  #fetching: Promise<void> | undefined;
  /** Monotonic; when the next fetch may begin. */
  #againMs = 0;
  /** The last fetch failed. */
  #away = false;

  constructor(options: JwksOptions) {
    this.#options = options;
    const timer = options.clock.every(limits.jwksRefreshMs, () => void this.#fetch());
    timer.unref();
    this.#stop.signal.addEventListener('abort', () => timer[Symbol.dispose](), { once: true });
    void this.#fetch();
  }

  /** Another one after each fetch that brought another set. */
  readonly version = (): number => this.#version;

  /** Never rejects: what is kept stays in use. */
  #fetch(): Promise<void> {
    this.#fetching ??= (async () => {
      const { url, clock, log } = this.#options;
      try {
        const { text, keys } = await fetchKeys(url, this.#stop.signal);
        this.#keys = keys;
        if (text !== this.#text) this.#version++;
        this.#text = text;
        this.#away = false;
        this.#againMs = clock.monotonic() + limits.jwksAgainMs;
      } catch (error) {
        this.#againMs = clock.monotonic() + limits.jwksRetryMs;
        this.#away = true;
        if (!this.#stop.signal.aborted)
          log.warn({ err: error }, 'the JWKS could not be fetched; tried again');
      } finally {
        this.#fetching = undefined;
      }
    })();
    return this.#fetching;
  }

  /**
   * The key that a token names, for jose. A key that is not known makes the set be fetched once more, at most every
   * `limits.jwksAgainMs`. Rejects with CREDENTIALS_UNAVAILABLE while there is no set, else with jose's own error.
   */
  readonly key = async (header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> => {
    const { clock } = this.#options;
    const known = await this.#find(header, token);
    if (known) return known;
    const mayFetch = this.#fetching !== undefined || clock.monotonic() >= this.#againMs;
    const fetched = mayFetch ? this.#fetch() : undefined;
    // Checks are few at once: who waits for a URL that is away would keep out those whose key is kept.
    if (!this.#keys || !this.#away) await fetched;
    const found = await this.#find(header, token);
    if (found) return found;
    if (this.#keys) throw new errors.JWKSNoMatchingKey();
    throw new CarillonError('CREDENTIALS_UNAVAILABLE', undefined, { retryAfterMs: limits.jwksRetryMs });
  };

  async #find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey | undefined> {
    try {
      return await this.#keys?.(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}
