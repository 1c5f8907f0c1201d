// Clients' tokens: signed for a user of the caller's tenant, and taken back.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { HandlerContext } from '@connectrpc/connect';
import type {
  CreateTokenRequest,
  CreateTokenResponseSchema,
  RevokeTokensRequest,
} from '../gen/carillon/v1/admin_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { principalOf } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import type { SignToken } from '../runtime/token-signer.ts';
import { invalidRequest } from '../runtime/validation.ts';
import { type Database, storeNowMs } from '../storage/database.ts';
import { revokeTokens as revoke } from '../storage/revocations.ts';

export interface TokensContext {
  readonly db: Database;
  /** Undefined: tokens are signed elsewhere, and checked here by public keys. */
  readonly signToken: SignToken | undefined;
}

/** SIGNING_UNAVAILABLE without a secret. */
export async function createToken(
  { db, signToken }: TokensContext,
  { userId, deviceId, ttl }: CreateTokenRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof CreateTokenResponseSchema>> {
  if (!signToken)
    throw new CarillonError(
      'SIGNING_UNAVAILABLE',
      'This mesh has no secret to sign tokens with (CARILLON_JWT_SECRET): get them from the issuer of CARILLON_JWT_JWKS_URL.',
    );
  const ttlMs = ttl ? durationMs(ttl) : limits.tokenTtlMs;
  if (!(ttlMs >= 1_000 && ttlMs <= limits.tokenTtlMaxMs))
    throw invalidRequest([{ field: 'ttl', description: 'must be from 1 second to 30 days' }]);
  // The clock of revocations, so that a token that was made after one is good.
  const issuedMs = await storeNowMs(db);
  const token = await signToken({ tenant: principalOf(call).tenant, userId, deviceId, issuedMs, ttlMs });
  return { token, expiresAt: timestampFromMs(issuedMs + ttlMs) };
}

export async function revokeTokens(
  { db }: TokensContext,
  { userId, deviceId }: RevokeTokensRequest,
  call: HandlerContext,
): Promise<Record<string, never>> {
  await revoke(db, { tenant: principalOf(call).tenant, userId, deviceId });
  return {};
}
