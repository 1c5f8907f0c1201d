// Judges tokens and API keys, remembers what it found by their hash, and looks at expiry and revocation each time.
import { hash } from 'node:crypto';
import pLimit from 'p-limit';
import { apiKeyId, hashOf, isApiKey, sameHash } from './api-key.ts';
import type { CallHeaders, UserAuthenticator } from './authenticator.ts';
import { bearerToken } from './bearer.ts';
import type { Credentials, KnownApiKey } from './credentials.ts';
import { CarillonError } from './errors.ts';
import type { Principal } from './identity.ts';
import type { JwtVerifier } from './jwt.ts';
import { limits } from './limits.ts';
import { Lru } from './lru.ts';

export interface TokenAuthenticatorOptions {
  credentials: Credentials;
  jwt: JwtVerifier;
  /** Another one whenever the keys that tokens are checked with have changed: a token of a key that is gone is known no more. */
  keysVersion?: () => number;
}

interface Refusal {
  readonly error: CarillonError;
  readonly untilMs: number;
}

export class TokenAuthenticator implements UserAuthenticator {
  readonly #credentials: Credentials;
  readonly #jwt: JwtVerifier;
  readonly #keysVersion: () => number;
  /** Of the keys that those in `#known` were checked with. */
  #version: number;
  #known = new Lru<Principal>(limits.tokenCacheCount);
  readonly #refused = new Lru<Refusal>(limits.tokenRefusedCount);
  readonly #checking = new Map<string, Promise<Principal>>();
  readonly #turn = pLimit(limits.tokenChecksAtOnce);

  constructor({ credentials, jwt, keysVersion = () => 0 }: TokenAuthenticatorOptions) {
    this.#credentials = credentials;
    this.#jwt = jwt;
    this.#keysVersion = keysVersion;
    this.#version = keysVersion();
  }

  nowMs(): number {
    return this.#credentials.nowMs();
  }

  authenticate(headers: CallHeaders): Principal | Promise<Principal> {
    const token = bearerToken(headers);
    if (isApiKey(token)) return this.#keyOwner(token);
    const tokenHash = hash('sha256', token, 'base64url');
    if (this.#keysVersion() !== this.#version) this.#forget();
    const known = this.#known.get(tokenHash);
    if (known) return this.#stillGood(known);
    const refusal = this.#refused.get(tokenHash);
    if (refusal && refusal.untilMs > this.nowMs()) throw refusal.error;
    const checking = this.#checking.get(tokenHash);
    if (checking) return checking;
    try {
      const now = this.#jwt.verifyNow(token, tokenHash);
      if (now) return this.#judge(now);
    } catch (error) {
      throw this.#refuse(tokenHash, error);
    }
    return this.#check(token, tokenHash);
  }

  #forget(): void {
    this.#version = this.#keysVersion();
    this.#known = new Lru(limits.tokenCacheCount);
  }

  #judge(principal: Principal): Principal {
    this.#known.set(principal.tokenHash, principal);
    return this.#stillGood(principal);
  }

  /** Remembers what will not be another the next time; returns the error. */
  #refuse(tokenHash: string, error: unknown): unknown {
    if (error instanceof CarillonError && error.retry === 'never')
      this.#refused.set(tokenHash, { error, untilMs: this.nowMs() + limits.tokenRefusedMs });
    return error;
  }

  checkDevice(principal: Principal, deviceId: string): void {
    if (deviceId === '' || deviceId === principal.deviceId) return;
    if (principal.deviceId !== '')
      throw new CarillonError(
        'PERMISSION_DENIED',
        'The token is bound to another device than the call names.',
      );
    const { tenant, userId, issuedMs } = principal;
    if (issuedMs <= this.#credentials.notBeforeMs(tenant, userId, deviceId))
      throw new CarillonError('TOKEN_REVOKED');
  }

  /** Whoever brings the same token meanwhile waits for the same judgement. */
  #check(token: string, tokenHash: string): Promise<Principal> {
    if (this.#checking.size >= limits.tokenChecksWaitingCount)
      throw new CarillonError('OVERLOADED', undefined, { retryAfterMs: limits.tokenChecksRetryMs });
    const checking = this.#judged(token, tokenHash).finally(() => this.#checking.delete(tokenHash));
    this.#checking.set(tokenHash, checking);
    return checking;
  }

  async #judged(token: string, tokenHash: string): Promise<Principal> {
    try {
      const version = this.#keysVersion();
      const principal = await this.#turn(() => this.#jwt.verify(token, tokenHash));
      // Checked with a key that may be gone by now: good for this call, and not remembered.
      return version === this.#keysVersion() ? this.#judge(principal) : this.#stillGood(principal);
    } catch (error) {
      throw this.#refuse(tokenHash, error);
    }
  }

  /** Throws TOKEN_EXPIRED, TOKEN_REVOKED. */
  #stillGood(principal: Principal): Principal {
    const { tenant, userId, deviceId, kind, issuedMs, expiresMs } = principal;
    if (expiresMs !== undefined && expiresMs <= this.nowMs()) throw new CarillonError('TOKEN_EXPIRED');
    if (kind === 'user' && issuedMs <= this.#credentials.notBeforeMs(tenant, userId, deviceId))
      throw new CarillonError('TOKEN_REVOKED');
    return principal;
  }

  /** A key that another process made a moment ago is not known yet: then the store is looked at. */
  #keyOwner(token: string): Principal | Promise<Principal> {
    const id = apiKeyId(token);
    if (!id) throw new CarillonError('UNAUTHENTICATED', 'The API key does not have the form of one.');
    const key = this.#credentials.apiKey(id);
    if (key) return this.#keyJudged(token, key);
    return this.#credentials.look().then(() => this.#keyJudged(token, this.#credentials.apiKey(id)));
  }

  #keyJudged(token: string, key: KnownApiKey | undefined): Principal {
    const tokenHash = hashOf(token);
    // As one answer: whoever guesses learns nothing of ids.
    if (!key || !sameHash(tokenHash, key.hash))
      throw new CarillonError('UNAUTHENTICATED', 'The API key is none of this mesh.');
    if (key.revokedMs !== undefined) throw new CarillonError('TOKEN_REVOKED', 'The API key was revoked.');
    if (key.expiresMs !== undefined && key.expiresMs <= this.nowMs())
      throw new CarillonError('TOKEN_EXPIRED', 'The API key has expired.');
    return {
      tenant: key.tenant,
      kind: 'backend',
      userId: '',
      deviceId: '',
      scopes: key.scopes,
      issuedMs: key.createdMs,
      expiresMs: key.expiresMs,
      tokenHash: Buffer.from(tokenHash).toString('base64url'),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#credentials[Symbol.asyncDispose]();
  }
}
