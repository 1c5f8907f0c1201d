// An authenticator whose tokens are names that a test has chosen: it answers at once, or when the test lets it.
import type { CallHeaders, UserAuthenticator } from '../runtime/authenticator.ts';
import { bearerToken } from '../runtime/bearer.ts';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { DEFAULT_TENANT, type Principal } from '../runtime/identity.ts';

export class FakeTokens implements UserAuthenticator {
  readonly #clock: Clock;
  readonly #known = new Map<string, Principal>();
  readonly #revoked = new Set<string>();
  /** When true, answers wait until `answer`. */
  slow = false;
  /** Tokens that were looked at. */
  looks = 0;
  #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Headers with a token of this user. Without `ttlMs` it does not expire. */
  of(
    userId: string,
    {
      tenant = DEFAULT_TENANT,
      deviceId = '',
      ttlMs,
      issuedMs = this.#clock.now(),
    }: { tenant?: string; deviceId?: string; ttlMs?: number; issuedMs?: number } = {},
  ): Headers {
    const expiresMs = ttlMs === undefined ? undefined : issuedMs + ttlMs;
    const tokenHash = Buffer.from(JSON.stringify([tenant, userId, deviceId, issuedMs, expiresMs])).toString(
      'base64url',
    );
    const principal = { tenant, kind: 'user', userId, deviceId, scopes: [], issuedMs, expiresMs } as const;
    this.#known.set(tokenHash, { ...principal, tokenHash });
    return new Headers(userId === '' ? {} : { authorization: `Bearer ${tokenHash}` });
  }

  revoke(headers: CallHeaders): void {
    this.#revoked.add(bearerToken(headers));
  }

  authenticate(headers: CallHeaders): Principal | Promise<Principal> {
    this.looks++;
    if (!this.slow) return this.#judged(headers);
    return new Promise<void>((resolve) => this.#waiting.push(resolve)).then(() => this.#judged(headers));
  }

  answer(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #judged(headers: CallHeaders): Principal {
    const token = bearerToken(headers);
    const principal = this.#known.get(token);
    if (!principal) throw new CarillonError('UNAUTHENTICATED');
    if (this.#revoked.has(token)) throw new CarillonError('TOKEN_REVOKED');
    if (principal.expiresMs !== undefined && principal.expiresMs <= this.nowMs())
      throw new CarillonError('TOKEN_EXPIRED');
    return principal;
  }

  checkDevice({ deviceId: bound }: Principal, deviceId: string): void {
    if (deviceId !== '' && bound !== '' && bound !== deviceId) throw new CarillonError('PERMISSION_DENIED');
  }

  nowMs(): number {
    return this.#clock.now();
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
