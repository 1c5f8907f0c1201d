// Which tokens are refused although they have not expired: those of a user, or of one of its devices, issued until a moment.
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Queryable } from './database.ts';

export interface Revocation {
  readonly tenant: string;
  readonly userId: string;
  /** Empty: all devices of the user. */
  readonly deviceId: string;
  /** Tokens issued until then are refused; milliseconds since the epoch by the database's clock. */
  readonly notBeforeMs: number;
}

/** Where a reader stands; opaque. */
export type RevocationPosition = string;

/** The position before everything. */
export const FIRST_POSITION: RevocationPosition = '0';

/**
 * Refuses what was issued until now, by the database's clock. Throws LIMIT_REACHED when `limits.revocationsCount` are kept
 * already: then it is the signing key that must be changed.
 */
export async function revokeTokens(
  db: Queryable,
  { tenant, userId, deviceId }: { tenant: string; userId: string; deviceId: string },
): Promise<void> {
  const { rows } = await db.query({
    name: 'revocations-put',
    text: `insert into revocations (tenant, user_id, device_id, not_before)
           select $1, $2, $3, clock_timestamp()
            where (select count(*) from (select from revocations limit $4) r) < $4
           on conflict (tenant, user_id, device_id) do update
             set not_before = excluded.not_before, changed = pg_current_xact_id()
           returning 1`,
    values: [tenant, userId, deviceId, limits.revocationsCount],
  });
  if (rows.length === 0)
    throw new CarillonError(
      'LIMIT_REACHED',
      `${limits.revocationsCount} revocations are kept already; change the key that signs tokens instead.`,
    );
}

interface Row {
  horizon: string;
  changed: string | null;
  tenant: string;
  user_id: string;
  device_id: string;
  not_before_ms: number;
}

/**
 * Tells `each` what was revoked since `position` and returns the position to go on from. Some come twice, none is missed,
 * whichever transaction commits first.
 */
export async function revocationsSince(
  db: Queryable,
  position: RevocationPosition,
  each: (revocation: Revocation) => void,
): Promise<RevocationPosition> {
  let after = [position, '', '', ''];
  let horizon: string | undefined;
  for (;;) {
    const { rows } = await db.query<Row>({
      name: 'revocations-since',
      text: `select pg_snapshot_xmin(pg_current_snapshot())::text as horizon, r.*
               from (select 1) one
               left join lateral (
                 select c.changed::text, tenant, user_id, device_id,
                        floor(extract(epoch from not_before) * 1000)::float8 as not_before_ms
                   from revocations c
                  where (c.changed, tenant, user_id, device_id) > ($1::xid8, $2, $3, $4)
                  order by c.changed, tenant, user_id, device_id limit $5) r on true`,
      values: [...after, limits.credentialsPageRows],
    });
    // What commits while later pages are read lies past the horizon of the first.
    horizon ??= rows[0]?.horizon ?? position;
    for (const row of rows)
      if (row.changed !== null)
        each({
          tenant: row.tenant,
          userId: row.user_id,
          deviceId: row.device_id,
          notBeforeMs: row.not_before_ms,
        });
    const last = rows.at(-1);
    if (rows.length < limits.credentialsPageRows || !last?.changed) return horizon;
    after = [last.changed, last.tenant, last.user_id, last.device_id];
  }
}

/** Forgets revocations of tokens that have expired by now. Returns how many. */
export async function trimRevocations(db: Queryable): Promise<number> {
  const { rowCount } = await db.query({
    name: 'revocations-trim',
    text: `delete from revocations where (tenant, user_id, device_id) in (
             select tenant, user_id, device_id from revocations
              where not_before < clock_timestamp() - $1 * interval '1 millisecond'
              order by not_before limit $2 for update skip locked)`,
    values: [limits.tokenLifetimeMs + limits.tokenLeewayMs, limits.credentialsPageRows],
  });
  return rowCount ?? 0;
}
