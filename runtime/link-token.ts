// Processes of one mesh know one another by a secret that they share: a link opens with a token that it has signed a moment ago.
import { createHash, hkdfSync } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import type { Authenticator, CallHeaders } from './authenticator.ts';
import { CarillonError } from './errors.ts';
import type { Principal } from './identity.ts';
import { limits } from './limits.ts';

const ISSUER = 'carillon';
const AUDIENCE = 'carillon:link';
const TYPE = 'carillon-link+jwt';

/** A key of its own, so that what the same secret signs for others is no token for a link. */
const keyOf = (secret: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, '', 'carillon link token', 32));

export interface LinkTokenOptions {
  /** CARILLON_CLUSTER_SECRET. */
  secret: string;
  /** The mesh's clock: the machines' may differ. */
  nowMs(): number;
}

/** Signs a token for `node`, good for `limits.linkTokenMs`. */
export function signLinkToken({ secret, nowMs }: LinkTokenOptions, node: string): Promise<string> {
  const now = Math.floor(nowMs() / 1_000);
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
      clockTolerance: limits.linkTokenSkewMs / 1_000,
      currentDate: new Date(nowMs),
    });
    return peer(token, (payload.iat ?? 0) * 1_000, (payload.exp ?? 0) * 1_000);
  } catch (cause) {
    if (cause instanceof errors.JWTExpired) throw new CarillonError('TOKEN_EXPIRED', undefined, { cause });
    throw new CarillonError('UNAUTHENTICATED', 'The token is none of this mesh for a link.', { cause });
  }
}

/**
 * Who may open a link. With a secret: who brings a token that it has signed. Without: everybody who reaches the port, so
 * that this is for loopback, and for ports that ask for a certificate of the mesh's own authority.
 */
export function linkAuthenticator(options: LinkTokenOptions | { nowMs(): number }): Authenticator {
  const key = 'secret' in options ? keyOf(options.secret) : undefined;
  return {
    nowMs: () => options.nowMs(),
    authenticate(headers: CallHeaders) {
      if (!key) return peer('', 0, undefined);
      const [, token] = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(headers.get('authorization') ?? '') ?? [];
      if (!token)
        throw new CarillonError(
          'UNAUTHENTICATED',
          'A link is opened with a token of the mesh (CARILLON_CLUSTER_SECRET).',
        );
      return verify(key, token, options.nowMs());
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
