// Everything that is no good as `authorization`, with the reason that is said: one row each, for whoever asks for a user.
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type JWTHeaderParameters, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { makeApiKey } from '../../runtime/api-key.ts';
import type { ReasonName } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { TEST_SECRET } from './tokens.ts';

export interface BadToken {
  readonly name: string;
  /** The whole header; undefined: none is sent. */
  readonly authorization: string | undefined;
  readonly reason: ReasonName;
}

const HOUR_SECONDS = 3_600;
const secret = Buffer.from(TEST_SECRET);
const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const publicPem = rsa.publicKey.export({ type: 'spki', format: 'pem' });

const signed = (
  payload: JWTPayload,
  header: JWTHeaderParameters = { alg: 'HS256' },
  key: Uint8Array | KeyObject = secret,
): Promise<string> => new SignJWT(payload).setProtectedHeader(header).sign(key);

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** `nowMs`: by the clock of who judges them. */
export async function badTokens(nowMs: number): Promise<BadToken[]> {
  const now = Math.floor(nowMs / 1_000);
  const claims = { sub: 'eve', iat: now, exp: now + HOUR_SECONDS };
  const good = await signed(claims);
  const [head = '', body = '', mac = ''] = good.split('.');
  const row = (name: string, token: string, reason: ReasonName = 'UNAUTHENTICATED'): BadToken => ({
    name,
    authorization: `Bearer ${token}`,
    reason,
  });
  const jwk = createPublicKey(publicPem).export({ format: 'jwk' });
  const header = (name: string, authorization: string | undefined): BadToken => ({
    name,
    authorization,
    reason: 'UNAUTHENTICATED',
  });
  return [
    header('nothing', undefined),
    header('an empty header', ''),
    header('a word and no token', 'Bearer'),
    header('another scheme', `Basic ${Buffer.from('eve:secret').toString('base64')}`),
    header('two tokens', `Bearer ${good}, Bearer ${good}`),
    header('a token and something after it', `Bearer ${good} x`),
    row('what is no JWT', 'nonsense'),
    row('three parts of nothing', 'e30.e30.e30'),
    row('cut short', good.slice(0, -2)),
    row('without its signature', `${head}.${body}.`),
    row('a signature of another token', `${head}.${encoded({ ...claims, sub: 'ada' })}.${mac}`),
    row('larger than any', await signed({ ...claims, junk: 'x'.repeat(limits.tokenBytes) })),
    row('not signed at all', new UnsecuredJWT(claims).encode()),
    row('an algorithm that every object has', `${encoded({ alg: 'constructor' })}.${body}.${mac}`),
    row('not signed, in capitals', `${encoded({ alg: 'NONE' })}.${body}.`),
    row('signed with another secret', await signed(claims, undefined, Buffer.from('x'.repeat(32)))),
    row(
      'signed with a private key, where only a secret is known',
      await signed(claims, { alg: 'RS256' }, rsa.privateKey),
    ),
    row(
      'signed with a public key as if it were a secret',
      await signed(claims, undefined, Buffer.from(publicPem)),
    ),
    row(
      'with its own key in its header',
      await signed(claims, { alg: 'RS256', jwk: jwk as never }, rsa.privateKey),
    ),
    row(
      'that says where its key is',
      await signed(
        claims,
        { alg: 'RS256', jku: 'https://evil.example/jwks', x5u: 'https://evil.example/x5u', kid: '1' },
        rsa.privateKey,
      ),
    ),
    row(
      'with an extension that must be understood',
      `${encoded({ alg: 'HS256', crit: ['odd'], odd: 1 })}.${body}.${mac}`,
    ),
    row('expired', await signed({ ...claims, exp: now - 1 }), 'TOKEN_EXPIRED'),
    row('that never expires', await signed({ sub: 'eve', iat: now })),
    row('that expires in ten years', await signed({ ...claims, exp: now + 87_660 * HOUR_SECONDS })),
    row('that expires at a word', await signed({ ...claims, exp: 'later' as never })),
    row('not good yet', await signed({ ...claims, nbf: now + HOUR_SECONDS })),
    row('issued in the future', await signed({ ...claims, iat: now + HOUR_SECONDS })),
    row('of nobody', await signed({ iat: now, exp: claims.exp })),
    row('of an empty name', await signed({ ...claims, sub: '' })),
    row('of a number', await signed({ ...claims, sub: 7 as never })),
    row('of a long name', await signed({ ...claims, sub: 'x'.repeat(257) })),
    row('of a name with a zero', await signed({ ...claims, sub: 'a\0b' })),
    row('of half a surrogate pair', await signed({ ...claims, sub: '\ud800' })),
    row('of a tenant without a name', await signed({ ...claims, tenant: '' })),
    row('of a tenant with a colon', await signed({ ...claims, tenant: 'a:b' })),
    row('for a device that is a list', await signed({ ...claims, device: ['a'] })),
    row('an API key of nobody', makeApiKey().key),
    row('an API key cut short', makeApiKey().key.slice(0, -1)),
    row('an API key that is none', 'ck_'),
  ];
}
