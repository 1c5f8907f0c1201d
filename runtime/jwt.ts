// Judges JWTs: whose key, which algorithms, which claims. What a token itself says about where its key lies is not followed.
import {
  type CryptoKey,
  errors,
  type FlattenedJWSInput,
  type JWSHeaderParameters,
  type JWTPayload,
  jwtVerify,
} from 'jose';
import { isKnownScope } from './access.ts';
import { CarillonError } from './errors.ts';
import { DEFAULT_TENANT, type Principal } from './identity.ts';
import { limits } from './limits.ts';
import { SecretSignature } from './secret-signature.ts';

/** Of a shared secret. */
const SECRET_ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const;
/** Of a key set: never those of a secret, or a public key could be used as one. */
const KEY_ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

type FindKey = (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>;

export interface JwtOptions {
  /** At least 32 bytes. */
  secret?: Uint8Array | undefined;
  /** Public keys. */
  keys?: FindKey | undefined;
  /** `iss` must be this. */
  issuer?: string | undefined;
  /** `aud` must hold one of these; empty: whatever it holds. */
  audience?: readonly string[] | undefined;
  nowMs(): number;
}

/** Revocations are not looked at here. */
export interface JwtVerifier {
  /** Undefined when the token cannot be judged on the spot. Throws UNAUTHENTICATED, TOKEN_EXPIRED. */
  verifyNow(token: string, tokenHash: string): Principal | undefined;
  /** Rejects with UNAUTHENTICATED, TOKEN_EXPIRED, CREDENTIALS_UNAVAILABLE. */
  verify(token: string, tokenHash: string): Promise<Principal>;
}

const refused = (sentence: string, cause?: unknown): CarillonError =>
  new CarillonError('UNAUTHENTICATED', sentence, { cause });

const CLAIMS: Readonly<Record<string, string>> = {
  nbf: 'The token is not valid yet (nbf).',
  iss: 'The token is from another issuer (iss) than this mesh takes.',
  aud: 'The token is for another audience (aud) than this mesh.',
};

/** jose's errors in our words. Its own may hold claims. */
function explained(error: unknown): CarillonError {
  if (error instanceof CarillonError) return error;
  if (error instanceof errors.JWTExpired) return new CarillonError('TOKEN_EXPIRED');
  if (error instanceof errors.JWTClaimValidationFailed)
    return refused(CLAIMS[error.claim] ?? `The claim ${error.claim} of the token is not what it should be.`);
  if (error instanceof errors.JOSEAlgNotAllowed)
    return refused('The token is signed in a way (alg) that this mesh does not take.');
  if (error instanceof errors.JWKSNoMatchingKey)
    return refused('The token is signed with a key that this mesh does not know.');
  if (error instanceof errors.JWKSMultipleMatchingKeys)
    return refused('The token does not say by which key (kid) it is signed.');
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return refused('The signature of the token is not right.');
  if (error instanceof errors.JOSEError) return refused('The token is not a JWT that can be read.');
  return new CarillonError('INTERNAL', undefined, { cause: error });
}

/** A claim of text; empty when it is not there. */
function text(payload: JWTPayload, name: string, bytes: number): string {
  const value = payload[name];
  if (value === undefined) return '';
  if (
    typeof value !== 'string' ||
    Buffer.byteLength(value) > bytes ||
    value.includes('\0') ||
    !value.isWellFormed()
  )
    throw refused(`The claim ${name} of the token must be text of at most ${bytes} bytes.`);
  return value;
}

/** `scope` with spaces between, or `scopes` as a list; what Carillon does not know is another service's. */
function scopesOf({ scope, scopes }: JWTPayload): string[] {
  const said = [
    ...(typeof scope === 'string' ? scope.split(' ') : []),
    ...(Array.isArray(scopes) ? scopes : []),
  ];
  return [...new Set(said.filter((each): each is string => typeof each === 'string'))]
    .filter(isKnownScope)
    .slice(0, limits.scopesCount);
}

function moment(payload: JWTPayload, name: 'exp' | 'iat'): number | undefined {
  const value = payload[name];
  if (value === undefined) return undefined;
  if (!Number.isFinite(value)) throw refused(`The claim ${name} of the token must be a number of seconds.`);
  return Math.round(value * 1_000);
}

/** A token with scopes of ours is a backend's; every other is that of the user in `sub`. */
function principalFrom(payload: JWTPayload, tokenHash: string, nowMs: number): Principal {
  const tenant = payload.tenant === undefined ? DEFAULT_TENANT : text(payload, 'tenant', limits.tenantChars);
  if (!/^[A-Za-z0-9._-]+$/.test(tenant))
    throw refused('The claim tenant of the token may hold letters, digits, dots, dashes and underscores.');
  const expiresMs = moment(payload, 'exp');
  // The leeway is for clocks that say "not yet"; who is late gets a new token.
  if (expiresMs !== undefined && expiresMs <= nowMs) throw new CarillonError('TOKEN_EXPIRED');
  const issuedMs = moment(payload, 'iat');
  if (issuedMs !== undefined && issuedMs > nowMs + limits.tokenLeewayMs)
    throw refused('The token was issued in the future (iat).');
  const common = { tenant, issuedMs: issuedMs ?? 0, expiresMs, tokenHash };
  const scopes = scopesOf(payload);
  if (scopes.length > 0) return { ...common, kind: 'backend', userId: '', deviceId: '', scopes };
  const userId = text(payload, 'sub', limits.userIdBytes);
  if (userId === '') throw refused('The token names no user (sub), and has no scope of a backend.');
  if (expiresMs === undefined) throw refused("A user's token must expire (exp).");
  if (expiresMs > nowMs + limits.tokenLifetimeMs)
    throw refused(`A user's token must expire (exp) within ${limits.tokenLifetimeMs / 86_400_000} days.`);
  return { ...common, kind: 'user', userId, deviceId: text(payload, 'device', limits.deviceIdBytes), scopes };
}

export async function createJwtVerifier(options: JwtOptions): Promise<JwtVerifier> {
  const { secret, keys, issuer, audience = [], nowMs } = options;
  const signature = secret && new SecretSignature(secret);
  // For secret and key sets alike, and imported once: from bytes each check costs 43 µs instead of 25.
  const secrets = new Map<string, CryptoKey>();
  for (const name of secret ? SECRET_ALGORITHMS : [])
    secrets.set(
      name,
      await crypto.subtle.importKey(
        'raw',
        Buffer.from(secret ?? []),
        { name: 'HMAC', hash: `SHA-${name.slice(2)}` },
        false,
        ['verify'],
      ),
    );
  const algorithms = [...secrets.keys(), ...(keys ? KEY_ALGORITHMS : [])];
  const findKey = async (header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> => {
    const key = secrets.get(header.alg ?? '') ?? (await keys?.(header, token));
    if (!key) throw new errors.JWKSNoMatchingKey();
    return key;
  };
  const asked = (atMs: number) => ({
    ...(issuer !== undefined && { issuer }),
    ...(audience.length > 0 && { audience: [...audience] }),
    clockTolerance: limits.tokenLeewayMs / 1_000,
    currentDate: new Date(atMs),
  });
  return {
    verifyNow(token, tokenHash) {
      const atMs = nowMs();
      try {
        const payload = signature?.claims(token, asked(atMs));
        return payload && principalFrom(payload, tokenHash, atMs);
      } catch (error) {
        throw explained(error);
      }
    },
    async verify(token, tokenHash) {
      if (algorithms.length === 0)
        throw refused(
          'This mesh takes no JWTs: neither CARILLON_JWT_SECRET nor CARILLON_JWT_JWKS_URL is set.',
        );
      const atMs = nowMs();
      try {
        const { payload } = await jwtVerify(token, findKey, { algorithms, ...asked(atMs) });
        return principalFrom(payload, tokenHash, atMs);
      } catch (error) {
        throw explained(error);
      }
    },
  };
}
