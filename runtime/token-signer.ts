// Signs users' tokens with the secret that this mesh checks them with.
import { SignJWT } from 'jose';

interface TokenRequest {
  readonly tenant: string;
  readonly userId: string;
  /** Empty: good for any device. */
  readonly deviceId: string;
  /** By the database's clock. */
  readonly issuedMs: number;
  readonly ttlMs: number;
}

export type SignToken = (request: TokenRequest) => Promise<string>;

export interface TokenSignerOptions {
  secret: Uint8Array;
  issuer?: string | undefined;
  audience?: readonly string[] | undefined;
}

export function tokenSigner({ secret, issuer, audience = [] }: TokenSignerOptions): SignToken {
  return ({ tenant, userId, deviceId, issuedMs, ttlMs }) => {
    const claims = { tenant, ...(deviceId !== '' && { device: deviceId }) };
    const token = new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setSubject(userId)
      // To the millisecond: a token that was made right after a revocation is good.
      .setIssuedAt(issuedMs / 1_000)
      .setExpirationTime((issuedMs + ttlMs) / 1_000);
    if (issuer !== undefined) token.setIssuer(issuer);
    if (audience.length > 0) token.setAudience([...audience]);
    return token.sign(secret);
  };
}
