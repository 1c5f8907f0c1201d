// Good tokens are known for whose they are, bad ones are refused with their reason, and nothing of a token is said back.
import { createServer } from 'node:http';
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { describe, expect, onTestFinished, test } from 'vitest';
import { badTokens } from '../test/support/bad-tokens.ts';
import { TEST_SECRET, TestCredentials, testTokens } from '../test/support/tokens.ts';
import { TokenAuthenticator } from './authenticator.tokens.ts';
import { bearer } from './bearer.ts';
import { ManualClock } from './clock.manual.ts';
import { systemClock } from './clock.ts';
import { CarillonError } from './errors.ts';
import type { Principal } from './identity.ts';
import { Jwks } from './jwks.ts';
import { createJwtVerifier, type JwtOptions } from './jwt.ts';
import { limits } from './limits.ts';
import { silentLog } from './log.ts';

const secret = Buffer.from(TEST_SECRET);
const HOUR_SECONDS = 3_600;

const asked = (authorization: string | undefined) => new Headers(authorization ? { authorization } : {});

/** The principal, or the error, whether it comes at once or later. */
async function outcome(
  authenticator: { authenticate(headers: Headers): Principal | Promise<Principal> },
  authorization: string | undefined,
): Promise<Principal | CarillonError> {
  try {
    return await authenticator.authenticate(asked(authorization));
  } catch (error) {
    if (error instanceof CarillonError) return error;
    throw error;
  }
}

const clock = new ManualClock();
const nowSeconds = () => clock.now() / 1_000;

async function judge(options: Partial<JwtOptions> = {}, keysVersion = () => 0) {
  const credentials = new TestCredentials(clock);
  const nowMs = () => credentials.nowMs();
  const jwt = await createJwtVerifier({ secret, nowMs, ...options });
  return { credentials, authenticator: new TokenAuthenticator({ credentials, jwt, keysVersion }) };
}

const sign = (payload: JWTPayload, alg = 'HS256') =>
  new SignJWT({ iat: nowSeconds(), exp: nowSeconds() + HOUR_SECONDS, ...payload })
    .setProtectedHeader({ alg })
    .sign(secret);

describe('a bad token', async () => {
  test.each(await badTokens(clock.now()))('$name', async ({ authorization, reason }) => {
    const { authenticator } = await judge();
    for (const _again of [1, 2]) {
      const said = await outcome(authenticator, authorization);
      expect(said).toBeInstanceOf(CarillonError);
      expect(said).toMatchObject({ reason, retry: 'never' });
      const token = authorization?.split(' ').at(-1);
      if (token && token.length > 8)
        expect((said as CarillonError).message).not.toContain(token.slice(0, 16));
    }
  });

  test.each([
    ['iss', { iss: 'https://evil.example', aud: 'carillon' }],
    ['iss', { aud: 'carillon' }],
    ['aud', { iss: 'https://login.example', aud: 'other' }],
    ['aud', { iss: 'https://login.example' }],
  ])('without the %s that is asked for: %o', async (claim, payload) => {
    const { authenticator } = await judge({ issuer: 'https://login.example', audience: ['carillon', 'c2'] });
    const said = await outcome(authenticator, `Bearer ${await sign({ sub: 'ada', ...payload })}`);
    expect(said).toMatchObject({ reason: 'UNAUTHENTICATED', message: expect.stringContaining(`(${claim})`) });
    const good = await sign({ sub: 'ada', iss: 'https://login.example', aud: ['x', 'c2'] });
    expect(await outcome(authenticator, `Bearer ${good}`)).toMatchObject({ userId: 'ada' });
  });
});

describe('a good token', () => {
  test.each(['HS256', 'HS384', 'HS512'])('signed with %s is its user’s', async (alg) => {
    const { authenticator } = await judge();
    const token = await sign({ sub: '\u{1f514} a/b', tenant: 'shop.1', device: 'phone' }, alg);
    expect(await outcome(authenticator, `bearer  ${token}`)).toEqual({
      kind: 'user',
      tenant: 'shop.1',
      userId: '\u{1f514} a/b',
      deviceId: 'phone',
      scopes: [],
      issuedMs: clock.now(),
      expiresMs: clock.now() + 3_600_000,
      tokenHash: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  test('with a scope of ours is a backend’s; scopes of other services make none', async () => {
    const { authenticator } = await judge();
    const backend = await sign({
      sub: 'shop',
      scope: 'openid notifications:send',
      scopes: ['admin:*', 'x:y', 7],
    });
    expect(await outcome(authenticator, `Bearer ${backend}`)).toMatchObject({
      kind: 'backend',
      tenant: 'default',
      userId: '',
      scopes: ['notifications:send', 'admin:*'],
    });
    const user = await sign({ sub: 'ada', scope: 'openid profile users:*x' });
    expect(await outcome(authenticator, `Bearer ${user}`)).toMatchObject({ kind: 'user', userId: 'ada' });
  });

  test('of the secret is judged on the spot, and remembered', async () => {
    const { authenticator } = await judge();
    const headers = asked(`Bearer ${await sign({ sub: 'ada' })}`);
    const first = authenticator.authenticate(headers);
    expect(first).toMatchObject({ userId: 'ada' });
    expect(authenticator.authenticate(headers)).toBe(first);
  });

  test('is answered at once the second time, checked once when asked for twice, and refused when it expires', async () => {
    const { authenticator } = await judge();
    // A header with more in it than alg and typ takes the long way.
    const token = new SignJWT({ sub: 'ada', iat: nowSeconds(), exp: nowSeconds() + 10 });
    const headers = asked(
      `Bearer ${await token.setProtectedHeader({ alg: 'HS256', kid: 'k' }).sign(secret)}`,
    );
    const first = authenticator.authenticate(headers);
    expect(first).toBeInstanceOf(Promise);
    const [one, other] = await Promise.all([first, authenticator.authenticate(headers)]);
    expect(other).toBe(one);
    expect(authenticator.authenticate(headers)).toBe(one);
    clock.advance(10_000);
    expect(() => authenticator.authenticate(headers)).toThrow(
      expect.objectContaining({ reason: 'TOKEN_EXPIRED' }),
    );
  });

  test('from a clock that is 20 s ahead is taken; that is what the leeway is for', async () => {
    const { authenticator } = await judge();
    const ahead = nowSeconds() + 20;
    const token = await sign({ sub: 'ada', iat: ahead, nbf: ahead });
    expect(await outcome(authenticator, `Bearer ${token}`)).toMatchObject({ userId: 'ada' });
  });
});

describe('what was revoked', () => {
  test('refuses the tokens of the user that were issued until then, known or not, and no later ones', async () => {
    const { authenticator, credentials } = await judge();
    const known = `Bearer ${await sign({ sub: 'ada' })}`;
    const unknown = `Bearer ${await sign({ sub: 'ada', device: 'phone' })}`;
    const others = `Bearer ${await sign({ sub: 'bob' })}`;
    await outcome(authenticator, known);
    credentials.revoke('default', 'ada');
    expect(await outcome(authenticator, known)).toMatchObject({ reason: 'TOKEN_REVOKED' });
    expect(await outcome(authenticator, unknown)).toMatchObject({ reason: 'TOKEN_REVOKED' });
    expect(await outcome(authenticator, others)).toMatchObject({ userId: 'bob' });
    expect(await outcome(authenticator, `Bearer ${await sign({ sub: 'ada', tenant: 't2' })}`)).toMatchObject({
      tenant: 't2',
    });
    clock.advance(1);
    expect(await outcome(authenticator, `Bearer ${await sign({ sub: 'ada' })}`)).toMatchObject({
      userId: 'ada',
    });
  });

  test('refuses everybody who brings the token while it is checked', async () => {
    const { authenticator, credentials } = await judge();
    const claims = new SignJWT({ sub: 'ada', iat: nowSeconds(), exp: nowSeconds() + HOUR_SECONDS });
    const token = `Bearer ${await claims.setProtectedHeader({ alg: 'HS256', kid: 'k' }).sign(secret)}`;
    credentials.revoke('default', 'ada');
    const said = await Promise.all([1, 2, 3].map(() => outcome(authenticator, token)));
    expect(said).toMatchObject(Array(3).fill({ reason: 'TOKEN_REVOKED' }));
  });

  test('a token without a time of issue counts as older than any revocation', async () => {
    const { authenticator, credentials } = await judge();
    const token = `Bearer ${await sign({ sub: 'ada', iat: undefined })}`;
    expect(await outcome(authenticator, token)).toMatchObject({ userId: 'ada', issuedMs: 0 });
    credentials.revoke('default', 'ada');
    expect(await outcome(authenticator, token)).toMatchObject({ reason: 'TOKEN_REVOKED' });
  });

  test('of one device leaves the others, and is looked at when a call names the device', async () => {
    const { authenticator, credentials } = await judge();
    const bound = `Bearer ${await sign({ sub: 'ada', device: 'phone' })}`;
    const free = `Bearer ${await sign({ sub: 'ada' })}`;
    const phone = (await outcome(authenticator, bound)) as Principal;
    credentials.revoke('default', 'ada', 'phone');
    expect(await outcome(authenticator, bound)).toMatchObject({ reason: 'TOKEN_REVOKED' });
    const any = (await outcome(authenticator, free)) as Principal;
    expect(any).toMatchObject({ userId: 'ada', deviceId: '' });
    expect(() => authenticator.checkDevice(any, '')).not.toThrow();
    expect(() => authenticator.checkDevice(any, 'laptop')).not.toThrow();
    expect(() => authenticator.checkDevice(any, 'phone')).toThrow(
      expect.objectContaining({ reason: 'TOKEN_REVOKED' }),
    );
    expect(() => authenticator.checkDevice(phone, 'laptop')).toThrow(
      expect.objectContaining({ reason: 'PERMISSION_DENIED' }),
    );
  });
});

describe('an API key', () => {
  test('is its tenant’s, until it expires or is revoked', async () => {
    const { authenticator, credentials, backendKey } = await testTokens({ clock });
    const { id, key } = backendKey({
      tenant: 't2',
      scopes: ['presence:read'],
      expiresMs: clock.now() + 5_000,
    });
    const headers = asked(bearer(key).authorization);
    expect(authenticator.authenticate(headers)).toMatchObject({
      kind: 'backend',
      tenant: 't2',
      scopes: ['presence:read'],
    });
    clock.advance(5_000);
    expect(() => authenticator.authenticate(headers)).toThrow(
      expect.objectContaining({ reason: 'TOKEN_EXPIRED' }),
    );
    const known = credentials.keys.get(id)!;
    credentials.keys.set(id, { ...known, revokedMs: clock.now() });
    expect(() => authenticator.authenticate(headers)).toThrow(
      expect.objectContaining({ reason: 'TOKEN_REVOKED' }),
    );
  });

  test('with the id of a key and another secret is none', async () => {
    const { authenticator, backendKey } = await testTokens({ clock });
    const { key } = backendKey();
    const forged = `${key.slice(0, -43)}${'A'.repeat(43)}`;
    expect(await outcome(authenticator, `Bearer ${forged}`)).toMatchObject({ reason: 'UNAUTHENTICATED' });
  });

  test('that is not known yet is looked for once', async () => {
    const { authenticator, credentials, backendKey } = await testTokens({ clock });
    const { id, key } = backendKey();
    const made = credentials.keys.get(id)!;
    credentials.keys.delete(id);
    credentials.look = async () => {
      credentials.looks++;
      credentials.keys.set(id, made);
    };
    expect(await outcome(authenticator, `Bearer ${key}`)).toMatchObject({ kind: 'backend' });
    expect(credentials.looks).toBe(1);
  });
});

/** A key set at a URL, as an issuer publishes it. */
async function issuer() {
  const keys: object[] = [];
  let broken = false;
  let fetches = 0;
  const server = createServer((_request, response) => {
    fetches++;
    if (broken) response.writeHead(500).end();
    else response.end(JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address?.port}/jwks`,
    fetches: () => fetches,
    breakDown: () => {
      broken = true;
    },
    heal: () => {
      broken = false;
    },
    removeKeys: () => void keys.splice(0),
    async addKey(alg: string, kid: string) {
      const pair = await generateKeyPair(alg, { extractable: true });
      keys.push({ ...(await exportJWK(pair.publicKey)), kid, alg });
      return {
        ...pair,
        sign: (payload: JWTPayload, header: object = {}) =>
          new SignJWT({ exp: nowSeconds() + HOUR_SECONDS, ...payload })
            .setProtectedHeader({ alg, kid, ...header })
            .sign(pair.privateKey),
      };
    },
  };
}

describe('keys of an issuer', () => {
  test.each(['RS256', 'PS384', 'ES256', 'EdDSA'])('%s', async (alg) => {
    const published = await issuer();
    const { sign: signed } = await published.addKey(alg, 'k1');
    using jwks = new Jwks({ url: published.url, clock, log: silentLog });
    const { authenticator } = await judge({ secret: undefined, keys: jwks.key });
    expect(await outcome(authenticator, `Bearer ${await signed({ sub: 'ada' })}`)).toMatchObject({
      userId: 'ada',
    });
    const elsewhere = await signed(
      { sub: 'bob' },
      { jku: 'https://evil.example/jwks', x5u: 'https://evil.example' },
    );
    expect(await outcome(authenticator, `Bearer ${elsewhere}`)).toMatchObject({ userId: 'bob' });
    expect(published.fetches()).toBe(1);
  });

  test('a public key is no secret: a token that is signed with it is refused', async () => {
    const published = await issuer();
    const { publicKey } = await published.addKey('RS256', 'k1');
    using jwks = new Jwks({ url: published.url, clock, log: silentLog });
    for (const known of [undefined, secret]) {
      const { authenticator } = await judge({ secret: known, keys: jwks.key });
      const forged = await new SignJWT({ sub: 'eve', exp: nowSeconds() + HOUR_SECONDS })
        .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
        .sign(Buffer.from(await exportSPKI(publicKey)));
      expect(await outcome(authenticator, `Bearer ${forged}`)).toMatchObject({ reason: 'UNAUTHENTICATED' });
    }
  });

  test('a new key is fetched when a token names it, not more often than every half minute', async () => {
    const published = await issuer();
    await published.addKey('ES256', 'k1');
    using jwks = new Jwks({ url: published.url, clock, log: silentLog });
    const { authenticator } = await judge({ secret: undefined, keys: jwks.key });
    const second = await (await published.addKey('ES256', 'k2')).sign({ sub: 'ada' });
    expect(await outcome(authenticator, `Bearer ${second}`)).toMatchObject({ userId: 'ada' });
    const third = await published.addKey('ES256', 'k3');
    expect(await outcome(authenticator, `Bearer ${await third.sign({ sub: 'ada' })}`)).toMatchObject({
      reason: 'UNAUTHENTICATED',
    });
    clock.advance(limits.jwksAgainMs);
    expect(await outcome(authenticator, `Bearer ${await third.sign({ sub: 'bob' })}`)).toMatchObject({
      userId: 'bob',
    });
  });

  test('a token of a key that was taken out is refused once the set was fetched, though it was known', async () => {
    const published = await issuer();
    const leaked = await published.addKey('ES256', 'k1');
    using jwks = new Jwks({ url: published.url, clock, log: silentLog });
    const { authenticator } = await judge({ secret: undefined, keys: jwks.key }, jwks.version);
    const token = `Bearer ${await leaked.sign({ sub: 'ada' })}`;
    expect(await outcome(authenticator, token)).toMatchObject({ userId: 'ada' });
    published.removeKeys();
    const { sign: signed } = await published.addKey('ES256', 'k2');
    clock.advance(limits.jwksAgainMs);
    // Names a key that is not known, so that the set is fetched.
    expect(await outcome(authenticator, `Bearer ${await signed({ sub: 'bob' })}`)).toMatchObject({
      userId: 'bob',
    });
    expect(await outcome(authenticator, token)).toMatchObject({ reason: 'UNAUTHENTICATED' });
  });

  test('while the issuer is away the keys that are known stay in use; without any the call may be tried again', async () => {
    const published = await issuer();
    const { sign: signed } = await published.addKey('ES256', 'k1');
    published.breakDown();
    using jwks = new Jwks({ url: published.url, clock, log: silentLog });
    const { authenticator } = await judge({ secret: undefined, keys: jwks.key });
    const token = `Bearer ${await signed({ sub: 'ada' })}`;
    expect(await outcome(authenticator, token)).toMatchObject({
      reason: 'CREDENTIALS_UNAVAILABLE',
      retry: 'backoff',
      retryAfterMs: limits.jwksRetryMs,
    });
    published.heal();
    clock.advance(limits.jwksRetryMs);
    expect(await outcome(authenticator, token)).toMatchObject({ userId: 'ada' });
    published.breakDown();
    clock.advance(limits.jwksRefreshMs);
    expect(await outcome(authenticator, `Bearer ${await signed({ sub: 'bob' })}`)).toMatchObject({
      userId: 'bob',
    });
  });

  test('a set that is too large is none', async () => {
    const server = createServer((_request, response) => response.end(' '.repeat(limits.jwksBytes + 1)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === 'object' && address?.port}/`;
    using jwks = new Jwks({ url, clock: systemClock, log: silentLog });
    const { authenticator } = await judge({ secret: undefined, keys: jwks.key });
    const { privateKey } = await generateKeyPair('ES256');
    const token = await new SignJWT({ sub: 'ada' }).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
    expect(await outcome(authenticator, `Bearer ${token}`)).toMatchObject({
      reason: 'CREDENTIALS_UNAVAILABLE',
    });
  });
});
