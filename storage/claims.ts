// Taking delivery rows for a provider: a claim is a lease on a QUEUED row, its fence shuts out whoever held it before.
import { fromBinary } from '@bufbuild/protobuf';
import {
  type Channel,
  type Content,
  DeliveryState,
  type Lane,
  NotificationSchema,
} from '../gen/carillon/v1/notification_pb.ts';
import type { Queryable } from './database.ts';
import type { DeliveryKey, Step } from './delivery-row.ts';
import { openDeliveryStates } from './delivery-states.ts';

const S = DeliveryState;

/** What the claims of one worker are about. */
export interface Share {
  stepChannel: Channel;
  lane: Lane;
  /** What counts as now; null: the database's clock, which all processes share. */
  now: Date | null;
}

/** What all recipients of a notification have in common. */
interface ClaimedNotification {
  category: string;
  content: Content;
  traceparent: string | undefined;
  createdAtMs: number;
  expiresAtMs: number;
}

export interface Claimed extends DeliveryKey {
  tenant: string;
  stepChannel: Channel;
  lane: Lane;
  step: number;
  steps: readonly Step[];
  /** Tries that this step had before. */
  tries: number;
  fence: number;
  /** Undefined: it is no longer kept. */
  notification: ClaimedNotification | undefined;
  /** Providers whose call for this step may have gone out, by an attempt that is AMBIGUOUS. */
  ambiguousProviders: ReadonlySet<string>;
  /** Addresses that refused this step for good. */
  refusedAddresses: ReadonlySet<string>;
}

interface ClaimedRow {
  notification_id: string;
  user_id: string;
  channel: number;
  tenant: string;
  lane: number;
  steps: Step[];
  step: number;
  step_channel: number;
  tries: number;
  attempts: number;
  fence: number;
}

const TAKE = `update deliveries d
  set held = true, fence = d.fence + 1, due_at = coalesce($3::timestamptz, now()) + $4::int * interval '1 ms'
  from due where d.notification_id = due.notification_id and d.user_id = due.user_id and d.channel = due.channel
  returning d.notification_id, d.user_id, d.channel, d.tenant, d.lane, d.steps, d.step, d.step_channel, d.tries, d.attempts, d.fence`;

/**
 * Claims those of `keys` that are QUEUED in this share and that nobody holds (or whose lease or retry time has come).
 * `leaseMs`: how long they are left to the caller.
 */
export async function claimRows(
  db: Queryable,
  { stepChannel, lane, now }: Share,
  keys: readonly DeliveryKey[],
  leaseMs: number,
): Promise<Claimed[]> {
  if (keys.length === 0) return [];
  const { rows } = await db.query<ClaimedRow>({
    name: 'claims-rows',
    text: `with due as (
             select d.notification_id, d.user_id, d.channel
             from unnest($5::uuid[], $6::text[], $7::smallint[]) as k (notification_id, user_id, channel)
             join deliveries d using (notification_id, user_id, channel)
             where d.state = ${S.QUEUED} and d.step_channel = $1 and d.lane = $2
               and (not d.held or d.due_at <= coalesce($3::timestamptz, now()))
             order by d.notification_id, d.user_id, d.channel for update of d skip locked)
           ${TAKE}`,
    values: [
      stepChannel,
      lane,
      now,
      leaseMs,
      keys.map((key) => key.notificationId),
      keys.map((key) => key.userId),
      keys.map((key) => key.channel),
    ],
  });
  return withContent(db, rows);
}

/** Claims up to `count` QUEUED rows of this share whose time has come, the longest due first. */
export async function claimDue(
  db: Queryable,
  { stepChannel, lane, now }: Share,
  count: number,
  leaseMs: number,
): Promise<Claimed[]> {
  const { rows } = await db.query<ClaimedRow>({
    name: 'claims-due',
    text: `with due as (
             select notification_id, user_id, channel from deliveries
             where state = ${S.QUEUED} and step_channel = $1 and lane = $2
               and due_at <= coalesce($3::timestamptz, now())
             order by due_at limit $5 for update skip locked)
           ${TAKE}`,
    values: [stepChannel, lane, now, leaseMs, count],
  });
  return withContent(db, rows);
}

/**
 * Keeps claims that still wait for their call for another `leaseMs`. Rows that were begun, given back or taken by somebody
 * else stay as they are: a due time that is further off is never brought forward.
 */
export async function renewClaims(
  db: Queryable,
  rows: readonly Claimed[],
  leaseMs: number,
  now: Date | null,
): Promise<void> {
  if (rows.length === 0) return;
  await db.query({
    name: 'claims-renew',
    text: `with due as (
             select d.notification_id, d.user_id, d.channel
             from unnest($3::uuid[], $4::text[], $5::smallint[], $6::integer[]) as k (notification_id, user_id, channel, fence)
             join deliveries d using (notification_id, user_id, channel)
             where d.fence = k.fence and d.state = ${S.QUEUED} and d.held
             order by d.notification_id, d.user_id, d.channel for update of d skip locked)
           update deliveries d
           set due_at = greatest(d.due_at, coalesce($1::timestamptz, now()) + $2::int * interval '1 ms') from due
           where d.notification_id = due.notification_id and d.user_id = due.user_id and d.channel = due.channel`,
    values: [
      now,
      leaseMs,
      rows.map((row) => row.notificationId),
      rows.map((row) => row.userId),
      rows.map((row) => row.channel),
      rows.map((row) => row.fence),
    ],
  });
}

/** Has rows that nobody holds looked at by the due loop at once: their records came, but there was no room for them. */
export async function callForward(
  db: Queryable,
  { stepChannel, lane, now }: Share,
  keys: readonly DeliveryKey[],
): Promise<void> {
  if (keys.length === 0) return;
  await db.query({
    name: 'claims-forward',
    text: `with due as (
             select d.notification_id, d.user_id, d.channel
             from unnest($4::uuid[], $5::text[], $6::smallint[]) as k (notification_id, user_id, channel)
             join deliveries d using (notification_id, user_id, channel)
             where d.state = ${S.QUEUED} and d.step_channel = $1 and d.lane = $2 and not d.held
             order by d.notification_id, d.user_id, d.channel for update of d skip locked)
           update deliveries d set due_at = coalesce($3::timestamptz, now()), held = true from due
           where d.notification_id = due.notification_id and d.user_id = due.user_id and d.channel = due.channel`,
    values: [
      stepChannel,
      lane,
      now,
      keys.map((key) => key.notificationId),
      keys.map((key) => key.userId),
      keys.map((key) => key.channel),
    ],
  });
}

/** Milliseconds until the next row of this share must be looked at (0: now), or undefined when none waits. */
export async function earliestDueMs(
  db: Queryable,
  { stepChannel, lane, now }: Share,
): Promise<number | undefined> {
  const { rows } = await db.query<{ ms: number }>({
    name: 'claims-earliest',
    text: `select greatest(0, ceil(extract(epoch from due_at - coalesce($3::timestamptz, now())) * 1000))::float8 as ms
           from unnest('{${openDeliveryStates}}'::smallint[]) as s (state) cross join lateral (
             select due_at from deliveries
             where step_channel = $1 and lane = $2 and state = s.state and due_at is not null order by due_at limit 1) d
           order by due_at limit 1`,
    values: [stepChannel, lane, now],
  });
  return rows[0]?.ms;
}

/** `lost`: it was no longer the caller's. `expired`: it has ended, because its notification's time had passed. */
export type Released = 'released' | 'lost' | 'expired';

/**
 * Gives a claimed row back without a try: it is QUEUED again, due after `afterMs` but not after it expires. A row that has
 * expired ends: it would be due at once, for as long as no provider can be called.
 */
export async function release(
  db: Queryable,
  row: Claimed,
  afterMs: number,
  reason: string,
  now: Date | null,
): Promise<Released> {
  const { rows } = await db.query<{ expired: boolean }>({
    name: 'claims-release',
    text: `update deliveries d
           set state = case when t.expired then ${S.EXPIRED} else d.state end,
             reason = case when t.expired then 'EXPIRED' when $7 = '' then d.reason else $7 end,
             held = $6 and not t.expired, updated_at = case when t.expired then t.now else d.updated_at end,
             due_at = case when not t.expired then least(t.now + $5::bigint * interval '1 ms', t.expires_at) end
           from (select w.now, n.expires_at, coalesce(n.expires_at <= w.now, false) as expired
                 from (select coalesce($8::timestamptz, now()) as now) w left join notifications n on n.id = $1) t
           where d.notification_id = $1 and d.user_id = $2 and d.channel = $3 and d.fence = $4 and d.state = ${S.QUEUED}
           returning t.expired`,
    values: [
      row.notificationId,
      row.userId,
      row.channel,
      row.fence,
      Math.round(afterMs),
      afterMs > 0,
      reason,
      now,
    ],
  });
  const [released] = rows;
  if (!released) return 'lost';
  return released.expired ? 'expired' : 'released';
}

interface NotificationRow {
  id: string;
  category: string;
  payload: Uint8Array;
  traceparent: string | null;
  created_at: Date;
  expires_at: Date;
}

interface TriedRow {
  notification_id: string;
  user_id: string;
  channel: number;
  provider: string;
  address: string;
  outcome: string;
}

const keyOf = (row: { notification_id: string; user_id: string; channel: number; step: number }) =>
  `${row.notification_id}\u0000${row.channel}\u0000${row.step}\u0000${row.user_id}`;

/** Adds what all recipients share, read once per notification, and what earlier tries of the step have shown. */
async function withContent(db: Queryable, rows: readonly ClaimedRow[]): Promise<Claimed[]> {
  if (rows.length === 0) return [];
  const { rows: found } = await db.query<NotificationRow>({
    name: 'claims-notifications',
    text: `select id, category, payload, traceparent, created_at, expires_at from notifications where id = any($1::uuid[])`,
    values: [[...new Set(rows.map((row) => row.notification_id))]],
  });
  const notifications = new Map(found.map((row) => [row.id, readNotification(row)]));
  const tried = await triedBefore(db, rows);
  return rows.map((row) => ({
    notificationId: row.notification_id,
    userId: row.user_id,
    channel: row.channel as Channel,
    tenant: row.tenant,
    stepChannel: row.step_channel as Channel,
    lane: row.lane as Lane,
    steps: row.steps,
    step: row.step,
    tries: row.tries,
    fence: row.fence,
    notification: notifications.get(row.notification_id),
    ambiguousProviders: tried.get(keyOf(row))?.ambiguous ?? new Set(),
    refusedAddresses: tried.get(keyOf(row))?.refused ?? new Set(),
  }));
}

function readNotification(row: NotificationRow): ClaimedNotification | undefined {
  const { content } = fromBinary(NotificationSchema, row.payload);
  return content === undefined
    ? undefined
    : {
        category: row.category,
        content,
        traceparent: row.traceparent ?? undefined,
        createdAtMs: row.created_at.getTime(),
        expiresAtMs: row.expires_at.getTime(),
      };
}

async function triedBefore(db: Queryable, rows: readonly ClaimedRow[]) {
  const tried = new Map<string, { ambiguous: Set<string>; refused: Set<string> }>();
  const again = rows.filter((row) => row.attempts > 0);
  if (again.length === 0) return tried;
  const { rows: attempts } = await db.query<TriedRow & { step: number }>({
    name: 'claims-tried',
    text: `select a.notification_id, a.user_id, a.channel, a.step, a.provider, a.address, a.outcome
           from unnest($1::uuid[], $2::text[], $3::smallint[], $4::smallint[]) as k (notification_id, user_id, channel, step)
           join delivery_attempts a using (notification_id, user_id, channel, step)
           where a.outcome in ('ambiguous', 'permanent')`,
    values: [
      again.map((row) => row.notification_id),
      again.map((row) => row.user_id),
      again.map((row) => row.channel),
      again.map((row) => row.step),
    ],
  });
  for (const attempt of attempts) {
    const key = keyOf(attempt);
    const entry = tried.get(key) ?? { ambiguous: new Set<string>(), refused: new Set<string>() };
    if (attempt.outcome === 'ambiguous') entry.ambiguous.add(attempt.provider);
    else entry.refused.add(attempt.address);
    tried.set(key, entry);
  }
  return tried;
}
