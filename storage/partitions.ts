// Hot tables are cut into weeks by the time inside their UUIDv7 id: the weeks to come exist before they begin, and
// what is older than the retention goes by dropping a week, not by deleting rows.
import type { Database, Queryable } from './database.ts';

const WEEK_MS = 7 * 86_400_000;

export const partitionedTables = ['notifications', 'deliveries', 'delivery_attempts', 'inbox_items'] as const;

/** The smallest UUIDv7 of a moment. */
function floorUuid(timeMs: number): string {
  const hex = Math.max(0, timeMs).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

function partitionName(table: string, startMs: number): string {
  return `${table}_${new Date(startMs).toISOString().slice(0, 10).replaceAll('-', '')}`;
}

const weekOf = (timeMs: number): number => Math.floor(timeMs / WEEK_MS) * WEEK_MS;

/**
 * Makes the weeks around `nowMs`: one back, for clocks that are behind, and `aheadWeeks` on. A default partition takes
 * what a clock far off would write. Cheap when all exist; safe to call from several processes.
 */
export async function ensurePartitions(database: Database, nowMs: number, aheadWeeks = 3): Promise<string[]> {
  const starts = Array.from({ length: aheadWeeks + 2 }, (_, index) => weekOf(nowMs) + (index - 1) * WEEK_MS);
  const wanted = partitionedTables.flatMap((table) =>
    starts.map((startMs) => ({ table, startMs, name: partitionName(table, startMs) })),
  );
  return database.transaction(async (tx) => {
    await tx.query({ text: `select pg_advisory_xact_lock(hashtext('carillon partitions'))` });
    const { rows } = await tx.query<{ name: string }>({
      text: `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
              where i.inhparent = any($1::regclass[])`,
      values: [partitionedTables],
    });
    const present = new Set(rows.map((row) => row.name));
    const missing = wanted.filter(({ name }) => !present.has(name));
    for (const { table, startMs, name } of missing) {
      await tx.query({
        text: `create table ${name} partition of ${table} for values from ('${floorUuid(startMs)}') to ('${floorUuid(startMs + WEEK_MS)}')`,
      });
    }
    for (const table of partitionedTables) {
      if (!present.has(`${table}_default`))
        await tx.query({ text: `create table ${table}_default partition of ${table} default` });
    }
    return missing.map(({ name }) => name);
  });
}

/** Drops the weeks that ended before `beforeMs`. Returns their names. */
export async function dropPartitions(database: Database, beforeMs: number): Promise<string[]> {
  return database.transaction(async (tx) => {
    const { rows } = await tx.query<{ name: string }>({
      text: `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
              where i.inhparent = any($1::regclass[]) and c.relname ~ '_[0-9]{8}$'`,
      values: [partitionedTables],
    });
    const old = rows.map((row) => row.name).filter((name) => startOf(name) + WEEK_MS <= beforeMs);
    for (const name of old) {
      if (name.startsWith('inbox_items_')) await uncount(tx, name);
      await tx.query({ text: `drop table ${name}` });
    }
    return old;
  });
}

/** Takes the items of a week out of their users' counts of what is unseen and unread; heads are locked in key order. */
async function uncount(tx: Queryable, partition: string): Promise<void> {
  await tx.query({
    text: `with gone as materialized (
             select tenant, user_id, (count(*) filter (where seen_at is null))::int as unseen, (count(*) filter (where read_at is null))::int as unread
               from ${partition} where archived_at is null group by 1, 2
           ), heads as materialized (
             select h.tenant, h.user_id from inbox_heads h join gone using (tenant, user_id) order by 1, 2 for update of h
           )
           update inbox_heads h set unseen = h.unseen - gone.unseen, unread = h.unread - gone.unread
             from heads join gone using (tenant, user_id)
            where h.tenant = heads.tenant and h.user_id = heads.user_id`,
  });
}

function startOf(name: string): number {
  const day = name.slice(-8);
  return Date.UTC(Number(day.slice(0, 4)), Number(day.slice(4, 6)) - 1, Number(day.slice(6)));
}

/** Inbox items are kept whose id is from this time on, milliseconds since the epoch: the start of the oldest week. */
export async function keptSinceMs(database: Queryable): Promise<number> {
  const { rows } = await database.query<{ name: string }>({
    text: `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'inbox_items'::regclass and c.relname ~ '_[0-9]{8}$' order by 1 limit 1`,
  });
  return rows[0] ? startOf(rows[0].name) : 0;
}
