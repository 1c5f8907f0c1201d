// The tokens that all streams of a benchmark bring, and how the servers beside ours check them: HS256, by the library that ours uses.
import { createHmac, randomBytes } from 'node:crypto';
import { jwtVerify } from 'jose';
import { systemClock } from '../../runtime/clock.ts';
import { DEFAULT_TENANT } from '../../runtime/identity.ts';

const ISSUER = 'bench';
const AUDIENCE = 'carillon';
const LIFE_SECONDS = 3_600;
const ID_BYTES = 12;

const secret = Buffer.alloc(32, 'benchmark');
/** What our own verifier is set up with. */
export const verification = { secret, issuer: ISSUER, audience: [AUDIENCE] };
// Imported once, as ours does: from bytes each check would cost half as much again.
const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, [
  'verify',
]);

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const head = part({ alg: 'HS256', typ: 'JWT' });

/** A token that was never seen before, so that no cache knows it. */
export function newToken(userId: string): string {
  const iat = Math.floor(systemClock.now() / 1_000);
  const claims = {
    sub: userId,
    tenant: DEFAULT_TENANT,
    iss: ISSUER,
    aud: AUDIENCE,
    iat,
    exp: iat + LIFE_SECONDS,
    jti: randomBytes(ID_BYTES).toString('base64url'),
  };
  const text = `${head}.${part(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** The user that the token names; rejects when it is not good. */
export async function userOf(token: string): Promise<string> {
  const { payload } = await jwtVerify(token, key, {
    algorithms: ['HS256'],
    issuer: ISSUER,
    audience: AUDIENCE,
  });
  if (!payload.sub) throw new Error('a token without a user');
  return payload.sub;
}

const BEARER = 'Bearer ';

/** The same, of `authorization: Bearer …`. */
export function bearerOf(authorization: string | null | undefined): Promise<string> {
  if (!authorization?.startsWith(BEARER)) return Promise.reject(new Error('no token'));
  return userOf(authorization.slice(BEARER.length));
}
