// The notification's side of expansion: read it once per batch, cut it into pages, count what is stored, end it in time.
import { fromBinary } from '@bufbuild/protobuf';
import type { Handoff, LogRecord, Written } from '../eventlog/event-log.ts';
import type { Category } from '../gen/carillon/v1/admin_pb.ts';
import {
  type Lane,
  type Notification,
  NotificationSchema,
  NotificationState,
} from '../gen/carillon/v1/notification_pb.ts';
import { readCategory } from './categories.ts';
import type { Database, Queryable } from './database.ts';
import { sqlNotificationMayBecome, sqlOpenNotifications } from './delivery-states.ts';

const N = NotificationState;

export interface LoadedNotification {
  id: string;
  tenant: string;
  lane: Lane;
  category: string;
  /** What its tenant put for the category, as it is at this moment; undefined: nothing. */
  rules: Category | undefined;
  state: NotificationState;
  payload: Uint8Array;
  notification: Notification;
  /** Distinct users of its audience. */
  recipients: number;
  traceparent: string | undefined;
  createdAtMs: number;
  /** By the clock that `nowMs` was read from. */
  expiresAtMs: number;
}

type Row = {
  id: string;
  tenant: string;
  lane: number;
  category: string;
  state: number;
  payload: Uint8Array;
  recipients: number;
  traceparent: string | null;
  created_at: Date;
};

/**
 * By id; ids that are no longer kept are missing. `nowMs`: the caller's clock, which may be wrong. Only how much time is left, by the
 * database's clock, is added to it. The category's rules come with it: a probe of a small table, so that nobody keeps old ones.
 */
export async function loadNotifications(
  db: Queryable,
  ids: Iterable<string>,
  nowMs: number,
): Promise<Map<string, LoadedNotification>> {
  const asked = [...new Set(ids)];
  if (asked.length === 0) return new Map();
  const { rows } = await db.query<Row & { left_ms: number; rules: Uint8Array | null }>({
    name: 'expansion-load',
    text: `select n.id, n.tenant, n.lane, n.category, n.state, n.payload, n.recipients, n.traceparent, n.created_at,
                  extract(epoch from n.expires_at - now())::float8 * 1000 as left_ms, c.payload as rules
             from notifications n left join categories c on c.tenant = n.tenant and c.id = n.category collate "C"
            where n.id = any($1::uuid[])`,
    values: [asked],
  });
  return new Map(
    rows.map((row) => [
      row.id,
      {
        id: row.id,
        tenant: row.tenant,
        lane: row.lane as Lane,
        category: row.category,
        rules: row.rules ? readCategory(row.rules) : undefined,
        state: row.state as NotificationState,
        payload: row.payload,
        notification: fromBinary(NotificationSchema, row.payload, { readUnknownFields: false }),
        recipients: row.recipients,
        traceparent: row.traceparent ?? undefined,
        createdAtMs: row.created_at.getTime(),
        expiresAtMs: nowMs + row.left_ms,
      },
    ]),
  );
}

/**
 * Moves a large notification to EXPANDING and hands its pages to the log, in one commit. False when it was cancelled, has
 * expired, or is stored already. Pages written a second time store nothing twice.
 */
export async function beginExpanding(
  database: Database,
  handoff: Handoff,
  id: string,
  pages: readonly LogRecord[],
  reconcileMs: number,
): Promise<boolean> {
  const written = await database.transaction(async (tx) => {
    const { rowCount } = await tx.query({
      name: 'expansion-begin',
      text: `update notifications set state = ${N.EXPANDING}, due_at = now() + $2::float8 * interval '1 ms'
              where id = $1 and state in (${sqlNotificationMayBecome(N.EXPANDING)}, ${N.EXPANDING}) and expires_at > now()`,
      values: [id, reconcileMs],
    });
    return rowCount === 1 ? handoff.write(tx, pages) : undefined;
  });
  written?.committed();
  return written !== undefined;
}

/** Ends those of `ids` whose time has passed before all their recipients were stored. Returns which. */
export async function expireNotifications(db: Queryable, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const { rows } = await db.query<{ id: string }>({
    name: 'expansion-expire',
    text: `with late as (
             select id from notifications
              where id = any($1::uuid[]) and expires_at <= now() and state in (${sqlNotificationMayBecome(N.EXPIRED)})
              order by id for no key update)
           update notifications n set state = ${N.EXPIRED}, due_at = null from late where n.id = late.id returning n.id`,
    values: [ids],
  });
  return rows.map((row) => row.id);
}

/**
 * Adds recipients whose rows this transaction has stored; a notification that has them all becomes EXPANDED. It comes
 * last before the handoff. It takes no lock that another page of the same notification holds for longer than its commit.
 */
export async function countExpanded(
  tx: Queryable,
  added: ReadonlyMap<string, number>,
  reconcileMs: number,
): Promise<void> {
  if (added.size === 0) return;
  await tx.query({
    name: 'expansion-count',
    text: `with grown as (
             select n.id, g.added from unnest($1::uuid[], $2::int[]) as g(id, added)
               join notifications n on n.id = g.id order by n.id for no key update of n)
           update notifications n
              set expanded = n.expanded + grown.added,
                  state = case when n.expanded + grown.added >= n.recipients then ${N.EXPANDED} else ${N.EXPANDING} end,
                  due_at = case when n.expanded + grown.added >= n.recipients then null
                                else now() + $3::float8 * interval '1 ms' end
             from grown where n.id = grown.id and n.state in (${sqlNotificationMayBecome(N.EXPANDED)})`,
    values: [[...added.keys()], [...added.values()], reconcileMs],
  });
}

export interface DueNotification {
  id: string;
  tenant: string;
  lane: Lane;
  state: NotificationState;
  recipients: number;
  payload: Uint8Array;
  traceparent: string | undefined;
}

/**
 * Takes up to `count` notifications whose time has come. Those that have expired become EXPIRED; SCHEDULED ones become
 * ACCEPTED; all that are open get a raw record from `recordOf`, in the same commit. Each is looked at again after
 * `reconcileMs`, or after as long as it has waited already, at most `reconcileMaxMs`: an outage of the log must not
 * multiply records. Where the handoff itself is behind, only schedules that begin get theirs.
 */
export async function wakeNotifications(
  database: Database,
  handoff: Handoff,
  recordOf: (notification: DueNotification) => LogRecord,
  { count, reconcileMs, reconcileMaxMs }: { count: number; reconcileMs: number; reconcileMaxMs: number },
): Promise<{ woken: number; expired: number }> {
  let woken = 0;
  let expired = 0;
  const written = await database.transaction(async (tx): Promise<Written | undefined> => {
    const { rows } = await tx.query<Row & { begins: boolean }>({
      name: 'expansion-wake',
      text: `with due as (
               select id, state from notifications where due_at <= now() order by due_at limit $1 for no key update skip locked)
             update notifications n
                set state = case when n.expires_at <= now() then ${N.EXPIRED}
                                 when n.state = ${N.SCHEDULED} then ${N.ACCEPTED} else n.state end,
                    due_at = case when n.expires_at <= now() then null
                                  when n.state = ${N.SCHEDULED} then now() + $2::float8 * interval '1 ms'
                                  else now() + greatest($2::float8 * interval '1 ms', least($3::float8 * interval '1 ms', now() - n.created_at)) end
               from due where n.id = due.id and n.state in (${sqlOpenNotifications})
             returning n.id, n.tenant, n.lane, n.state, n.recipients, n.payload, n.traceparent,
                       due.state = ${N.SCHEDULED} as begins`,
      values: [count, reconcileMs, reconcileMaxMs],
    });
    const open = rows.filter((row) => row.state !== N.EXPIRED);
    woken = open.length;
    expired = rows.length - open.length;
    // What waits there is not lost.
    const wanted = handoff.backlog().oldestMs > reconcileMs ? open.filter((row) => row.begins) : open;
    const records = wanted.map((row) =>
      recordOf({
        id: row.id,
        tenant: row.tenant,
        lane: row.lane as Lane,
        state: row.state as NotificationState,
        recipients: row.recipients,
        payload: row.payload,
        traceparent: row.traceparent ?? undefined,
      }),
    );
    return records.length > 0 ? handoff.write(tx, records) : undefined;
  });
  written?.committed();
  return { woken, expired };
}

/** Milliseconds until the next notification must be looked at (0 or less: now); undefined when none waits. */
export async function earliestNotificationMs(db: Queryable): Promise<number | undefined> {
  const { rows } = await db.query<{ ms: number }>({
    name: 'expansion-earliest',
    text: `select (extract(epoch from due_at - now()) * 1000)::float8 as ms
             from notifications where due_at is not null order by due_at limit 1`,
  });
  return rows[0]?.ms;
}
