// The moves of stored delivery rows: taken under a fence when due, moved to their next step, settled, put off or hurried.
import type { Handoff, Written } from '../eventlog/event-log.ts';
import { Channel, DeliveryState, type Lane, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Database, Queryable } from './database.ts';
import {
  type DeliveryKey,
  type DeliveryRow,
  deliveryColumns,
  deliveryRow,
  followingStep,
  type StoredDelivery,
} from './delivery-row.ts';
import { openDeliveryStates, sqlMayBecome, sqlOpenDeliveries } from './delivery-states.ts';
import { allocateItems } from './inbox-allocation.ts';
import { channelRecord } from './store-deliveries.ts';

const S = DeliveryState;
const N = NotificationState;

/** A row as its holder knows it: changes hit nothing once somebody else has taken it. */
export type Held = DeliveryKey & { fence: number };

const columns = (rows: readonly Held[]) => [
  rows.map((row) => row.notificationId),
  rows.map((row) => row.userId),
  rows.map((row) => row.channel),
  rows.map((row) => row.fence),
];

/**
 * The rows of `columns`, if they are still the caller's and open, locked in key order. LATERAL with OFFSET keeps it a probe
 * for each key: a plain join of a table that was analyzed when it was empty walked through the whole of it.
 */
const heldRows = (condition = ''): string => `
  select k.notification_id, k.user_id, k.channel, k.nth
    from (select * from unnest($1::uuid[], $2::text[], $3::smallint[], $4::int[]) with ordinality
            as k(notification_id, user_id, channel, fence, nth)
           where true ${condition}
           order by notification_id, user_id collate "C", channel) k
   cross join lateral (
     select 1 from deliveries d
      where d.notification_id = k.notification_id and d.user_id = k.user_id and d.channel = k.channel
        and d.fence = k.fence and d.state in (${sqlOpenDeliveries})
     offset 0 for update) d`;

const SAME =
  'd.notification_id = held.notification_id and d.user_id = held.user_id and d.channel = held.channel';

/** A row that is due. */
export interface DueRow extends DeliveryRow {
  /** How long ago its current step began, milliseconds. */
  stepMs: number;
}

/**
 * Takes up to `count` rows of a channel and lane whose time has come, earliest first. Their due time moves by `leaseMs` and
 * their fence rises in the same statement; several routers share the rows out by SKIP LOCKED.
 */
export async function takeDue(
  db: Queryable,
  { channel, lane, count, leaseMs }: { channel: Channel; lane: Lane; count: number; leaseMs: number },
): Promise<DueRow[]> {
  const { rows } = await db.query<StoredDelivery & { step_ms: number }>({
    name: 'deliveries-take',
    text: `with due as materialized (
             select d.* from unnest('{${openDeliveryStates}}'::smallint[]) as s (state) cross join lateral (
                 select notification_id, user_id, channel from deliveries
                  where step_channel = $1 and lane = $2 and state = s.state and due_at <= now()
                  order by due_at limit $3 for update skip locked) d
              limit $3)
           update deliveries d set due_at = now() + $4::float8 * interval '1 ms', fence = d.fence + 1
             from due where d.notification_id = due.notification_id and d.user_id = due.user_id and d.channel = due.channel
           returning ${deliveryColumns},
             extract(epoch from now() - coalesce((d.inputs #>> '{moved,-1,at}')::timestamptz, d.created_at))::float8 * 1000 as step_ms`,
    values: [channel, lane, count, leaseMs],
  });
  return rows.map((row) => ({ ...deliveryRow(row), stepMs: row.step_ms }));
}

/** Puts rows off: each is looked at again after its `inMs`. Returns how many still were the caller's. */
export async function postpone(db: Queryable, rows: readonly (Held & { inMs: number })[]): Promise<number> {
  if (rows.length === 0) return 0;
  const { rowCount } = await db.query({
    name: 'deliveries-postpone',
    text: `with held as (${heldRows()})
           update deliveries d set due_at = now() + ($5::float8[])[held.nth] * interval '1 ms' from held where ${SAME}`,
    values: [...columns(rows), rows.map((row) => row.inMs)],
  });
  return rowCount ?? 0;
}

/** Brings the due time forward to `inMs` from now where it is later. Returns how many rows changed. */
export async function hasten(db: Queryable, rows: readonly (Held & { inMs: number })[]): Promise<number> {
  if (rows.length === 0) return 0;
  const { rowCount } = await db.query({
    name: 'deliveries-hasten',
    text: `with held as (${heldRows()})
           update deliveries d set due_at = now() + ($5::float8[])[held.nth] * interval '1 ms' from held
            where ${SAME} and d.due_at > now() + ($5::float8[])[held.nth] * interval '1 ms'`,
    values: [...columns(rows), rows.map((row) => row.inMs)],
  });
  return rowCount ?? 0;
}

/**
 * Ends rows in `state`, as far as the lattice allows; one that a client had acknowledged, and that waited for a read, was
 * delivered. Returns those that were the caller's and have ended.
 */
export async function settle(
  db: Queryable,
  rows: readonly Held[],
  state: DeliveryState,
  reason: string,
): Promise<DeliveryRow[]> {
  if (openDeliveryStates.includes(state)) throw new TypeError(`state ${state} is not an end`);
  if (rows.length === 0) return [];
  const { rows: ended } = await db.query<StoredDelivery>({
    name: `deliveries-settle-${state}`,
    text: `with held as (${heldRows()})
           update deliveries d set state = case when d.reason = 'ACKED' then ${S.DELIVERED} else ${state} end,
             reason = case when d.reason = 'ACKED' then '' else $5 end, due_at = null, updated_at = now()
             from held where ${SAME} and d.state in (${sqlMayBecome(state)})
           returning ${deliveryColumns}`,
    values: [...columns(rows), reason],
  });
  return ended.map(deliveryRow);
}

/** A row that is to go on to the step after its current one. */
export interface Move {
  row: Held & Pick<DeliveryRow, 'steps' | 'step'>;
  /** Why the step before did not do, such as `NO_ACK`, `OFFLINE`, `PERMANENT`. */
  reason: string;
  /** For the channel record; the notification's own when absent. */
  traceparent?: string | undefined;
}

export interface Moved {
  /** The rows as they are now. Rows that are missing were not the caller's any more, or their notification has ended. */
  rows: DeliveryRow[];
  /** To be told after the commit. */
  written: Written | undefined;
}

// What a row's earlier steps came to is kept in `inputs.moved`, for Explain; a plan has four steps at most. Notifications are
// locked before rows, as a cancel does: the keys are sorted, and so all of `alive` read, before the first row is locked.
const MOVE = `
with alive as materialized (
  select id, traceparent from notifications
   where id = any($5::uuid[]) and state in (${N.ACCEPTED}, ${N.EXPANDING}, ${N.EXPANDED}) and expires_at > now()
   order by id for key share
), held as (${heldRows('and k.notification_id in (select id from alive)')})
update deliveries d
   set state = case when m.channel = ${Channel.IN_APP} then ${S.WAITING} else ${S.QUEUED} end,
       reason = m.reason, step = d.step + 1, step_channel = m.channel, tries = 0, held = false, fence = d.fence + 1,
       due_at = now() + case when m.channel = ${Channel.IN_APP} then 0 else $8::float8 end * interval '1 ms',
       inputs = jsonb_set(d.inputs, '{moved}', coalesce(d.inputs -> 'moved', '[]') || jsonb_build_array(jsonb_build_object(
         'at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
         'from', d.step_channel, 'to', m.channel, 'reason', m.reason))),
       updated_at = now()
  from held
  join lateral (select ($6::smallint[])[held.nth] as channel, ($7::text[])[held.nth] as reason) m on true
 where ${SAME} and d.step + 1 < jsonb_array_length(d.steps)
returning ${deliveryColumns}, (select alive.traceparent from alive where alive.id = d.notification_id)`;

/**
 * Moves rows to their next step by compare-and-set, and hands their channel records off, all in the caller's transaction:
 * call it last, and `written.committed()` after the commit. A next step in the app stores its inbox item; the router's due
 * loop then shows it. Every row must have a following step.
 */
export async function takeNextStep(tx: Queryable, handoff: Handoff, moves: readonly Move[]): Promise<Moved> {
  if (moves.length === 0) return { rows: [], written: undefined };
  const { rows } = await tx.query<StoredDelivery & { traceparent: string | null }>({
    name: 'deliveries-move',
    text: MOVE,
    values: [
      ...columns(moves.map((move) => move.row)),
      [...new Set(moves.map((move) => move.row.notificationId))],
      moves.map((move) => followingStep(move.row)?.channel),
      moves.map((move) => move.reason),
      limits.reconcileMs,
    ],
  });
  const moved = rows.map(deliveryRow);
  const keyText = (key: DeliveryKey) => `${key.notificationId}${key.channel}${key.userId}`;
  const items = await allocateItems(
    tx,
    moved.filter((row) => row.stepChannel === Channel.IN_APP && row.seq === undefined),
  );
  const seqs = new Map(items.map((item) => [keyText(item), item.seq]));
  const traces = new Map(moves.map((move) => [keyText(move.row), move.traceparent]));
  const records = rows.flatMap((stored, index) => {
    const row = moved[index]!;
    const traceparent = traces.get(keyText(row)) ?? stored.traceparent ?? undefined;
    return row.state === S.QUEUED ? [channelRecord(row, traceparent)] : [];
  });
  return {
    rows: moved.map((row) => ({ ...row, seq: row.seq ?? seqs.get(keyText(row)) })),
    written: records.length > 0 ? await handoff.write(tx, records) : undefined,
  };
}

/** As `takeNextStep`, in a transaction of its own. */
export async function nextStep(
  database: Database,
  handoff: Handoff,
  moves: readonly Move[],
): Promise<DeliveryRow[]> {
  const { rows, written } = await database.transaction((tx) => takeNextStep(tx, handoff, moves));
  written?.committed();
  return rows;
}
