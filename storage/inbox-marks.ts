// Marking items seen, read or archived: each moves once to the head of its user's sequence, and the counts stay exact.
import type { Handoff } from '../eventlog/event-log.ts';
import { Mark } from '../gen/carillon/v1/edge_pb.ts';
import { type Report, type Reported, report, reporting } from './acks.ts';
import type { Database, Queryable } from './database.ts';

export type MarkKind = 'seen' | 'read' | 'archived';

export const markKinds: ReadonlyMap<number, MarkKind> = new Map([
  [Number(Mark.SEEN), 'seen'],
  [Number(Mark.READ), 'read'],
  [Number(Mark.ARCHIVED), 'archived'],
]);

export interface MarkRequest {
  tenant: string;
  userId: string;
  kind: MarkKind;
  /** These items, or those at or before `upto`, newest first, `atMost` of them. */
  what: { notificationIds: readonly string[] } | { upto: number; atMost: number };
}

export interface Marked {
  /** Items that were not marked so before. */
  marked: number;
  head: number;
  unseen: number;
  unread: number;
  reported: Reported[];
}

const REPORTS: Record<MarkKind, Report> = { seen: 'acked', read: 'opened', archived: 'closed' };
const COLUMN: Record<MarkKind, string> = { seen: 'seen_at', read: 'read_at', archived: 'archived_at' };

const byKind = <T>(make: (kind: MarkKind) => T): Record<MarkKind, T> => ({
  seen: make('seen'),
  read: make('read'),
  archived: make('archived'),
});

const HIT_KEYS = `hit as materialized (
  select $1::text as tenant, $2::text as user_id, notification_id, first_seq
    from unnest($3::uuid[], $4::int[]) as k (notification_id, first_seq))`;
const REPORT = byKind((kind) => reporting(REPORTS[kind], `marks-report-${kind}`, HIT_KEYS));

// By the key of the delivery, whose row knows where the item is.
const FIND_IDS = byKind(
  (kind) => `
  select distinct i.notification_id, i.first_seq
    from deliveries d join inbox_items i
      on i.tenant = $1 and i.user_id = $2 and i.first_seq = d.seq and i.notification_id = d.notification_id
   where d.notification_id = any($3::uuid[]) and d.user_id = $2 and d.tenant = $1 and i.${COLUMN[kind]} is null`,
);
const FIND_UPTO = byKind(
  (kind) => `
  select notification_id, first_seq from inbox_items
   where tenant = $1 and user_id = $2 and first_seq <= $3 and ${COLUMN[kind]} is null
   order by first_seq desc limit $4`,
);

// Under the lock of the head. An archived item counts neither as unseen nor as unread, whatever else was marked on it.
const APPLY = byKind(
  (kind) => `
with todo as materialized (
  select i.notification_id, i.first_seq, row_number() over (order by i.first_seq) as nth,
         i.seen_at is null and i.archived_at is null as was_unseen,
         i.read_at is null and i.archived_at is null as was_unread
    from unnest($3::uuid[], $4::int[]) as k (notification_id, first_seq)
    join inbox_items i on i.tenant = $1 and i.user_id = $2 and i.first_seq = k.first_seq
     and i.notification_id = k.notification_id
   where i.${COLUMN[kind]} is null
), moved as (
  update inbox_items i
     set seq = $5 + todo.nth, ${COLUMN[kind]} = now()${kind === 'read' ? ', seen_at = coalesce(i.seen_at, now())' : ''}
    from todo
   where i.tenant = $1 and i.user_id = $2 and i.first_seq = todo.first_seq
     and i.notification_id = todo.notification_id
), counted as (
  select count(*)::int as marked, (count(*) filter (where was_unseen))::int as seen,
         (count(*) filter (where was_unread))::int as read from todo
)
update inbox_heads h
   set head = h.head + counted.marked, unseen = h.unseen - counted.seen,
       unread = h.unread - ${kind === 'seen' ? '0' : 'counted.read'}
  from counted
 where h.tenant = $1 and h.user_id = $2
returning counted.marked, h.head, h.unseen, h.unread`,
);

type Key = { notification_id: string; first_seq: number };
type Head = { head: number; unseen: number; unread: number };

async function find(tx: Queryable, { tenant, userId, kind, what }: MarkRequest): Promise<Key[]> {
  const { rows } = await ('upto' in what
    ? tx.query<Key>({
        name: `marks-upto-${kind}`,
        text: FIND_UPTO[kind],
        values: [tenant, userId, what.upto, what.atMost],
      })
    : tx.query<Key>({
        name: `marks-ids-${kind}`,
        text: FIND_IDS[kind],
        values: [tenant, userId, what.notificationIds],
      }));
  return rows;
}

/**
 * Marks in one transaction. Locks deliveries in key order, then the head, then items: the order of those that store
 * items. Every device is told by the new positions; items that were marked so before stay where they are.
 */
export async function markInbox(db: Database, handoff: Handoff, request: MarkRequest): Promise<Marked> {
  const { tenant, userId, kind } = request;
  const { marked, written } = await db.transaction(async (tx) => {
    const keys = await find(tx, request);
    const values = [
      tenant,
      userId,
      keys.map(({ notification_id }) => notification_id),
      keys.map(({ first_seq }) => first_seq),
    ];
    const { reported, cleared } =
      keys.length === 0 ? { reported: [], cleared: [] } : await report(tx, REPORT[kind], values);
    const { rows: heads } = await tx.query<Head>({
      name: 'marks-head',
      text: 'select head, unseen, unread from inbox_heads where tenant = $1 and user_id = $2 for update',
      values: [tenant, userId],
    });
    const head = heads[0];
    if (!head || keys.length === 0)
      return { marked: { marked: 0, head: 0, unseen: 0, unread: 0, ...head, reported }, written: undefined };
    const { rows } = await tx.query<Head & { marked: number }>({
      name: `marks-apply-${kind}`,
      text: APPLY[kind],
      values: [...values, head.head],
    });
    return {
      marked: { ...rows[0]!, reported },
      written: cleared.length > 0 ? await handoff.write(tx, cleared) : undefined,
    };
  });
  written?.committed();
  return marked;
}
