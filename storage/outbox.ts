// The outbox's rows: written leased to their process, deleted once published, swept oldest first when a lease has run out.
import type { LogRecord } from '../eventlog/event-log.ts';
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import { byteaArray, int2Array, textArray, uuidArray } from './binary-array.ts';
import type { Database, Queryable } from './database.ts';

export interface OutboxRow extends LogRecord {
  id: string;
  lane: Lane;
}

export interface SweptRow extends OutboxRow {
  /** Milliseconds since the epoch. */
  createdAtMs: number;
}

/** Stores rows within `tx`. Those of the lanes `leased` are `owner`'s for `outboxLeaseMs`; the others are the sweep's at once. */
export async function insertOutbox(
  tx: Queryable,
  rows: readonly OutboxRow[],
  owner: string,
  leased: ReadonlySet<Lane>,
): Promise<void> {
  await tx.query({
    name: 'outbox-insert',
    text: `insert into outbox (id, lane, topic, key, value, headers, lease_owner, lease_until)
      select r.id, r.lane, r.topic, r.key, r.value, r.headers::jsonb, $7,
        case when r.lane = any($8::smallint[]) then clock_timestamp() + $9 * interval '1 ms' else '-infinity' end
      from unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::bytea[], $6::text[])
        as r(id, lane, topic, key, value, headers)`,
    values: [
      uuidArray(rows.map((row) => row.id)),
      int2Array(rows.map((row) => row.lane)),
      textArray(rows.map((row) => row.topic)),
      textArray(rows.map((row) => row.key)),
      byteaArray(rows.map((row) => row.value)),
      textArray(rows.map((row) => JSON.stringify(row.headers))),
      owner,
      int2Array([...leased]),
      limits.outboxLeaseMs,
    ],
  });
}

/** Removes what is on the log. */
export async function deleteOutbox(db: Queryable, ids: readonly string[]): Promise<void> {
  await db.query({
    name: 'outbox-delete',
    text: `with gone as (select id from outbox where id = any($1::uuid[]) order by id for update)
      delete from outbox o using gone where o.id = gone.id`,
    values: [uuidArray([...ids].sort())],
  });
}

/** Gives up leases, so that the sweep takes the rows at once. Only those that `owner` still has. */
export async function releaseOutbox(db: Queryable, ids: readonly string[], owner: string): Promise<void> {
  await db.query({
    name: 'outbox-release',
    text: `with mine as (
        select id from outbox where id = any($1::uuid[]) and lease_owner = $2 order by id for update
      )
      update outbox o set lease_until = '-infinity', swept = false from mine where o.id = mine.id`,
    values: [uuidArray([...ids].sort()), owner],
  });
}

// A row that is marked and leased is being published: a second process on this lane would break the order of keys.
const CLAIM = `
with free as (
  select id from outbox
  where lane = $1 and lease_until < now()
  order by id limit $2 for update skip locked
)
update outbox o set lease_owner = $3, lease_until = now() + $4 * interval '1 ms', swept = true
from free where o.id = free.id
returning o.id, o.topic, o.key, o.value, o.headers, (extract(epoch from o.created_at) * 1000)::float8 as created_at_ms`;

/**
 * The lane's oldest rows whose lease has run out, now `owner`'s. `busy`: another process sweeps the lane, so that nothing
 * can be said of what waits.
 */
export async function claimOutbox(
  db: Database,
  lane: Lane,
  owner: string,
  records: number,
): Promise<{ busy: boolean; rows: SweptRow[] }> {
  return await db.transaction(async (tx) => {
    // Held for this one short transaction; never while records are published.
    const { rows: lock } = await tx.query<{ mine: boolean }>({
      name: 'outbox-lock',
      text: 'select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as mine',
      values: [`carillon outbox ${lane}`],
    });
    if (!lock[0]?.mine) return { busy: true, rows: [] };
    const { rows: swept } = await tx.query({
      name: 'outbox-busy',
      text: 'select 1 from outbox where lane = $1 and swept and lease_until >= now() limit 1',
      values: [lane],
    });
    if (swept.length > 0) return { busy: true, rows: [] };
    const { rows } = await tx.query<{
      id: string;
      topic: string;
      key: string;
      value: Buffer;
      headers: Record<string, string>;
      created_at_ms: number;
    }>({ name: 'outbox-claim', text: CLAIM, values: [lane, records, owner, limits.outboxLeaseMs] });
    const claimed = rows.map(({ created_at_ms, ...row }) => ({ ...row, lane, createdAtMs: created_at_ms }));
    return { busy: false, rows: claimed.sort((a, b) => (a.id < b.id ? -1 : 1)) };
  });
}

export interface OutboxSample {
  lane: Lane;
  bytes: number;
  oldestMs: number;
  /** Whether there is something for the sweep. */
  expired: boolean;
}

// Rows are counted up to a bound. Beyond it the statistics collector's count of live rows (at most a second old) is
// shared out in proportion: what matters there is the order of magnitude.
const SAMPLE = `
with lanes as (
  select l.lane, oldest.age, expired.id is not null as expired, counted.rows, counted.bytes
  from unnest($1::smallint[]) as l(lane)
  left join lateral (
    select extract(epoch from clock_timestamp() - o.created_at) * 1000 as age
    from outbox o where o.lane = l.lane order by o.id limit 1
  ) oldest on true
  left join lateral (
    select o.id from outbox o where o.lane = l.lane and o.lease_until < now() order by o.id limit 1
  ) expired on true
  cross join lateral (
    select count(*) as rows, coalesce(sum(octet_length(c.value) + octet_length(c.key) + 200), 0) as bytes
    from (select o.value, o.key from outbox o where o.lane = l.lane order by o.id limit $2) c
  ) counted
), live as (
  select coalesce(max(n_live_tup), 0) as rows from pg_stat_user_tables where relid = 'outbox'::regclass
), full_lanes as (
  select count(*) as lanes from lanes where rows >= $2
)
select lane, expired, coalesce(age, 0)::float8 as age,
  (case when lanes.rows < $2 then lanes.bytes
    else lanes.bytes::float8 / lanes.rows * greatest(lanes.rows, live.rows::float8 / full_lanes.lanes) end)::float8 as bytes
from lanes, live, full_lanes`;

/** How much waits in each lane, in a few index look-ups. */
export async function sampleOutbox(db: Queryable, lanes: readonly Lane[]): Promise<OutboxSample[]> {
  const { rows } = await db.query<{ lane: Lane; expired: boolean; age: number; bytes: number }>({
    name: 'outbox-sample',
    text: SAMPLE,
    values: [int2Array(lanes), limits.outboxCountedRecords],
  });
  return rows.map(({ lane, expired, age, bytes }) => ({ lane, expired, bytes, oldestMs: Math.max(0, age) }));
}
