// The keys of backends: a tenant's, with scopes; the store holds a hash of each, from which no key can be had.
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Queryable } from './database.ts';

export interface NewApiKey {
  readonly id: string;
  readonly tenant: string;
  readonly name: string;
  readonly scopes: readonly string[];
  /** SHA-256 of the whole key. */
  readonly hash: Uint8Array;
  /** From now; undefined: it does not expire. */
  readonly ttlMs?: number | undefined;
}

/** Times are milliseconds since the epoch by the database's clock. */
export interface StoredApiKey {
  readonly id: string;
  readonly tenant: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly hash: Uint8Array;
  readonly createdMs: number;
  readonly expiresMs: number | undefined;
  readonly revokedMs: number | undefined;
}

interface Row {
  id: string;
  tenant: string;
  name: string;
  scopes: string[];
  hash: Buffer;
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
}

const stored = (row: Row): StoredApiKey => ({
  id: row.id,
  tenant: row.tenant,
  name: row.name,
  scopes: row.scopes,
  hash: row.hash,
  createdMs: row.created_at.getTime(),
  expiresMs: row.expires_at?.getTime(),
  revokedMs: row.revoked_at?.getTime(),
});

/** Stores it; a key with this id that is there already stays as it is, and is returned. Throws LIMIT_REACHED. */
export async function putApiKey(db: Queryable, key: NewApiKey): Promise<StoredApiKey> {
  const { rows } = await db.query<Row>({
    name: 'api-keys-put',
    text: `insert into api_keys (id, tenant, name, scopes, hash, expires_at)
           select $1, $2, $3, $4, $5, now() + $6 * interval '1 millisecond'
            where (select count(*) from (select from api_keys limit $7) k) < $7
           on conflict (id) do update set id = excluded.id
           returning *`,
    values: [
      key.id,
      key.tenant,
      key.name,
      [...key.scopes],
      Buffer.from(key.hash),
      key.ttlMs ?? null,
      limits.apiKeysCount,
    ],
  });
  const row = rows[0];
  if (!row) throw new CarillonError('LIMIT_REACHED', `There are ${limits.apiKeysCount} API keys already.`);
  return stored(row);
}

/** Newest first; revoked and expired ones too. */
export async function listApiKeys(db: Queryable, tenant: string): Promise<StoredApiKey[]> {
  const { rows } = await db.query<Row>({
    name: 'api-keys-list',
    text: 'select * from api_keys where tenant = $1 order by created_at desc, id limit $2',
    values: [tenant, limits.apiKeysListedCount],
  });
  return rows.map(stored);
}

/** False when the tenant has no such key. Revoking it twice changes nothing. */
export async function revokeApiKey(db: Queryable, tenant: string, id: string): Promise<boolean> {
  const { rows } = await db.query({
    name: 'api-keys-revoke',
    text: `update api_keys set revoked_at = coalesce(revoked_at, now()), changed = pg_current_xact_id()
            where id = $1 and tenant = $2 returning 1`,
    values: [id, tenant],
  });
  return rows.length > 0;
}

/** Where a reader stands; opaque. */
export type ApiKeysPosition = string;

/** The position before everything. */
export const FIRST_API_KEYS_POSITION: ApiKeysPosition = '0';

/** As `revocationsSince`, for keys; with the database's clock, read while the statement ran. */
export async function apiKeysSince(
  db: Queryable,
  position: ApiKeysPosition,
  each: (key: StoredApiKey) => void,
): Promise<{ position: ApiKeysPosition; nowMs: number }> {
  let after = [position, '00000000-0000-0000-0000-000000000000'];
  let first: { position: string; nowMs: number } | undefined;
  for (;;) {
    const { rows } = await db.query<Row & { horizon: string; now_ms: number; changed_text: string | null }>({
      name: 'api-keys-since',
      text: `select pg_snapshot_xmin(pg_current_snapshot())::text as horizon,
                    (extract(epoch from clock_timestamp()) * 1000)::float8 as now_ms, k.*
               from (select 1) one
               left join lateral (
                 select c.changed::text as changed_text, c.* from api_keys c
                  where (c.changed, c.id) > ($1::xid8, $2::uuid) order by c.changed, c.id limit $3) k on true`,
      values: [...after, limits.credentialsPageRows],
    });
    first ??= { position: rows[0]?.horizon ?? position, nowMs: rows[0]?.now_ms ?? 0 };
    for (const row of rows) if (row.changed_text !== null) each(stored(row));
    const last = rows.at(-1);
    if (rows.length < limits.credentialsPageRows || !last?.changed_text) return first;
    after = [last.changed_text, last.id];
  }
}
