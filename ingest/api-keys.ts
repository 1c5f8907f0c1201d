// The API keys of the caller's tenant: whoever makes one hands on at most what they may themselves.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { HandlerContext } from '@connectrpc/connect';
import type {
  ApiKeySchema,
  CreateApiKeyRequest,
  CreateApiKeyResponseSchema,
  ListApiKeysRequest,
  ListApiKeysResponseSchema,
  RevokeApiKeyRequest,
} from '../gen/carillon/v1/admin_pb.ts';
import { isKnownScope, knownScopes, permits } from '../runtime/access.ts';
import { apiKeyPrefix, makeApiKey } from '../runtime/api-key.ts';
import { CarillonError } from '../runtime/errors.ts';
import { type Principal, principalOf } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { nearest } from '../runtime/nearest.ts';
import { invalidRequest } from '../runtime/validation.ts';
import {
  listApiKeys as list,
  putApiKey,
  revokeApiKey as revoke,
  type StoredApiKey,
} from '../storage/api-keys.ts';
import type { Database } from '../storage/database.ts';

export interface ApiKeysContext {
  readonly db: Database;
}

const shown = (key: StoredApiKey): MessageInitShape<typeof ApiKeySchema> => ({
  id: key.id,
  name: key.name,
  scopes: [...key.scopes],
  prefix: apiKeyPrefix(key.id),
  createdAt: timestampFromMs(key.createdMs),
  ...(key.expiresMs !== undefined && { expiresAt: timestampFromMs(key.expiresMs) }),
  ...(key.revokedMs !== undefined && { revokedAt: timestampFromMs(key.revokedMs) }),
});

/** INVALID_REQUEST for a scope that opens nothing, PERMISSION_DENIED for one that the caller does not have. */
function checkScopes(scopes: readonly string[], caller: Principal): void {
  const unknown = scopes.flatMap((scope, index) => {
    if (isKnownScope(scope)) return [];
    const near = nearest(scope, knownScopes);
    const meant = near ? `did you mean ${near}?` : `there are ${knownScopes.join(', ')}, area:* and *`;
    return [{ field: `scopes[${index}]`, description: `opens nothing; ${meant}` }];
  });
  if (unknown.length > 0) throw invalidRequest(unknown);
  const beyond = scopes.find((scope) => !caller.scopes.some((given) => permits(given, scope)));
  if (beyond !== undefined)
    throw new CarillonError(
      'PERMISSION_DENIED',
      `CreateApiKey hands on what the caller may: the scope ${beyond} is not among that.`,
    );
}

export async function createApiKey(
  { db }: ApiKeysContext,
  { name, scopes, ttl }: CreateApiKeyRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof CreateApiKeyResponseSchema>> {
  const caller = principalOf(call);
  const ttlMs = ttl && durationMs(ttl);
  if (ttlMs !== undefined && !(ttlMs >= 1_000 && ttlMs <= limits.apiKeyTtlMaxMs))
    throw invalidRequest([{ field: 'ttl', description: 'must be from 1 second to 10 years' }]);
  checkScopes(scopes, caller);
  const { id, key, hash } = makeApiKey();
  const stored = await putApiKey(db, {
    id,
    tenant: caller.tenant,
    name,
    scopes: [...new Set(scopes)],
    hash,
    ttlMs,
  });
  return { apiKey: shown(stored), secret: key };
}

export async function listApiKeys(
  { db }: ApiKeysContext,
  _request: ListApiKeysRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof ListApiKeysResponseSchema>> {
  return { apiKeys: (await list(db, principalOf(call).tenant)).map(shown) };
}

/** API_KEY_NOT_FOUND when the caller's tenant has no such key. */
export async function revokeApiKey(
  { db }: ApiKeysContext,
  { id }: RevokeApiKeyRequest,
  call: HandlerContext,
): Promise<Record<string, never>> {
  if (!(await revoke(db, principalOf(call).tenant, id))) throw new CarillonError('API_KEY_NOT_FOUND');
  return {};
}
