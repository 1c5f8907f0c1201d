// Processes of one mesh know one another by a secret that they share: a link opens with a token that it has signed a moment ago.
import { createHash, hkdfSync } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import type { Authenticator, CallHeaders } from './authenticator.ts';
import { bearerToken } from './bearer.ts';
import { CarillonError } from './errors.ts';
import type { Principal } from './identity.ts';
import { limits } from './limits.ts';

const ISSUER = 'carillon';
const AUDIENCE = 'carillon:link';
const TYPE = 'carillon-link+jwt';

/** A key of its own, so that what the same secret signs for others is no token for a link. */
const keyOf = (secret: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, '', 'carillon link token', 32));

/** Signs a token for `node`, good for `limits.linkTokenMs` from `nowMs`, which is the mesh's clock: machines' may differ. */
export function signLinkToken(secret: string, node: string, nowMs: number): Promise<string> {
  const now = Math.floor(nowMs / 1_000);
  return new SignJWT()
    .setProtectedHeader({ alg: 'HS256', typ: TYPE })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject(node)
    .setIssuedAt(now)
    .setExpirationTime(now + limits.linkTokenMs / 1_000)
    .sign(keyOf(secret));
}

const peer = (token: string, issuedMs: number, expiresMs: number | undefined): Principal => ({
  kind: 'peer',
  tenant: '',
  userId: '',
  deviceId: '',
  scopes: [],
  issuedMs,
  expiresMs,
  tokenHash: createHash('sha256').update(token).digest('base64url'),
});

async function verify(key: Uint8Array, token: string, nowMs: number): Promise<Principal> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['HS256'],
      typ: TYPE,
      issuer: ISSUER,
      audience: AUDIENCE,
      requiredClaims: ['sub', 'iat', 'exp'],
      maxTokenAge: limits.linkTokenMs / 1_000,
      clockTolerance: limits.tokenLeewayMs / 1_000,
      currentDate: new Date(nowMs),
    });
    return peer(token, (payload.iat ?? 0) * 1_000, (payload.exp ?? 0) * 1_000);
  } catch (cause) {
    if (cause instanceof errors.JWTExpired) throw new CarillonError('TOKEN_EXPIRED', undefined, { cause });
    throw new CarillonError('UNAUTHENTICATED', 'The token is none of this mesh for a link.', { cause });
  }
}

export interface LinkAuthenticatorOptions {
  /** CARILLON_CLUSTER_SECRET. */
  secret?: string | undefined;
  /** The mesh's clock. */
  nowMs(): number;
}

/**
 * Who may open a link. With a secret: who brings a token that it has signed. Without: everybody who reaches the port, so
 * that this is for loopback, and for ports that ask for a certificate of the mesh's own authority.
 */
export function linkAuthenticator({ secret, nowMs }: LinkAuthenticatorOptions): Authenticator {
  const key = secret === undefined ? undefined : keyOf(secret);
  return {
    nowMs,
    authenticate: (headers: CallHeaders) =>
      key ? verify(key, bearerToken(headers), nowMs()) : peer('', 0, undefined),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
