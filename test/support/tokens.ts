// Tokens and keys for tests, and an authenticator that takes them, without a store.
import { SignJWT } from 'jose';
import { type MadeApiKey, makeApiKey } from '../../runtime/api-key.ts';
import { TokenAuthenticator } from '../../runtime/authenticator.tokens.ts';
import type { Authenticator, UserAuthenticator } from '../../runtime/authenticator.ts';
import { bearer } from '../../runtime/bearer.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import type { Credentials, KnownApiKey } from '../../runtime/credentials.ts';
import { DEFAULT_TENANT } from '../../runtime/identity.ts';
import { createJwtVerifier } from '../../runtime/jwt.ts';
import { tokenSigner } from '../../runtime/token-signer.ts';

/** For `CARILLON_JWT_SECRET` of meshes under test. */
export const TEST_SECRET = 'a secret of tests, which is no secret at all';
const HOUR_MS = 3_600_000;

const secret = Buffer.from(TEST_SECRET);
const sign = tokenSigner({ secret });

export interface UserTokenOptions {
  tenant?: string;
  deviceId?: string;
  ttlMs?: number;
  /** When it is issued; now when absent. */
  atMs?: number;
}

/** A token that a mesh with `TEST_SECRET` takes. */
export const userToken = (
  userId: string,
  {
    tenant = DEFAULT_TENANT,
    deviceId = '',
    ttlMs = HOUR_MS,
    atMs = systemClock.now(),
  }: UserTokenOptions = {},
): Promise<string> => sign({ tenant, userId, deviceId, issuedMs: atMs, ttlMs });

/** The `authorization` header of a user. */
export const userHeaders = async (
  userId: string,
  options?: UserTokenOptions,
): Promise<{ authorization: string }> => bearer(await userToken(userId, options));

/** A backend's token that a mesh with `TEST_SECRET` takes; it does not expire. */
export const backendToken = ({
  tenant = DEFAULT_TENANT,
  scopes = ['*'],
}: {
  tenant?: string;
  scopes?: readonly string[];
} = {}): Promise<string> =>
  new SignJWT({ tenant, scopes: [...scopes] }).setProtectedHeader({ alg: 'HS256' }).sign(secret);

/** Keys and revocations as a test sets them. */
export class TestCredentials implements Credentials {
  readonly #clock: Clock;
  readonly keys = new Map<string, KnownApiKey>();
  readonly revoked = new Map<string, number>();
  looks = 0;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.now();
  }
  apiKey(id: string): KnownApiKey | undefined {
    return this.keys.get(id);
  }
  /** Refuses what was issued until now. */
  revoke(tenant: string, userId: string, deviceId = ''): void {
    this.revoked.set(JSON.stringify([tenant, userId, deviceId]), this.nowMs());
  }
  notBeforeMs(tenant: string, userId: string, deviceId: string): number {
    return Math.max(
      ...['', deviceId].map(
        (device) => this.revoked.get(JSON.stringify([tenant, userId, device])) ?? Number.NEGATIVE_INFINITY,
      ),
    );
  }
  async look(): Promise<void> {
    this.looks++;
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}

export interface TestTokens {
  readonly authenticator: UserAuthenticator;
  readonly credentials: TestCredentials;
  userToken(userId: string, options?: UserTokenOptions): Promise<string>;
  /** The `authorization` header of a user. */
  headers(userId: string, options?: UserTokenOptions): Promise<{ authorization: string }>;
  /** A key with these scopes; `*` when none are said. */
  backendKey(options?: { tenant?: string; scopes?: readonly string[]; expiresMs?: number }): MadeApiKey;
  /** The `authorization` header of a backend that may do everything. */
  backendHeaders(options?: { tenant?: string; scopes?: readonly string[] }): { authorization: string };
}

/** Tokens are signed with `TEST_SECRET`; time is that of `clock`. */
export async function testTokens({ clock = systemClock }: { clock?: Clock } = {}): Promise<TestTokens> {
  const credentials = new TestCredentials(clock);
  const jwt = await createJwtVerifier({ secret, nowMs: () => credentials.nowMs() });
  const issue = (userId: string, options: UserTokenOptions = {}) =>
    userToken(userId, { atMs: clock.now(), ...options });
  const tokens: TestTokens = {
    authenticator: new TokenAuthenticator({ credentials, jwt }),
    credentials,
    userToken: issue,
    headers: async (userId, options) => bearer(await issue(userId, options)),
    backendKey({ tenant = DEFAULT_TENANT, scopes = ['*'], expiresMs } = {}) {
      const made = makeApiKey();
      credentials.keys.set(made.id, {
        id: made.id,
        tenant,
        scopes,
        hash: made.hash,
        createdMs: clock.now(),
        expiresMs,
        revokedMs: undefined,
      });
      return made;
    },
    backendHeaders: (options) => bearer(tokens.backendKey(options).key),
  };
  return tokens;
}

/** Takes everybody for a backend that may do everything: for tests of what lies below. */
export const anybody: Authenticator = {
  authenticate: () => ({
    kind: 'backend',
    tenant: DEFAULT_TENANT,
    userId: '',
    deviceId: '',
    scopes: ['*'],
    issuedMs: 0,
    expiresMs: undefined,
    tokenHash: '',
  }),
  nowMs: () => systemClock.now(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};
