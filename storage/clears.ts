// Taking back what was pushed: rows that are to be cleared are taken when due, each take a counted try, and what came of each call stays.
import { create, toBinary } from '@bufbuild/protobuf';
import type { LogRecord } from '../eventlog/event-log.ts';
import { channelTopic, userKey } from '../eventlog/topics.ts';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Channel, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Queryable } from './database.ts';
import type { DeliveryKey } from './delivery-row.ts';

/** A record that says: what this row pushed is to be taken back. It only wakes; the row's `clear_due_at` is what counts. */
export function clearRecord(
  row: DeliveryKey & { tenant: string; lane: Lane },
  traceparent: string | undefined,
): LogRecord {
  return {
    topic: channelTopic(Channel.PUSH, row.lane),
    key: userKey(row.tenant, row.userId),
    value: toBinary(
      ChannelRecordSchema,
      create(ChannelRecordSchema, {
        tenant: row.tenant,
        notificationId: row.notificationId,
        userId: row.userId,
        planChannel: row.channel,
        clear: true,
      }),
    ),
    headers: traceparent === undefined ? {} : { traceparent },
  };
}

/** A call that pushed something, or may have. */
export interface PushedCall {
  attemptId: string;
  provider: string;
  /** As in `delivery_attempts.address`. */
  address: string;
  providerMessageId: string;
}

/** A row whose pushes the caller is to take back. */
export interface Clearing extends DeliveryKey {
  tenant: string;
  lane: Lane;
  /** Takes so far, this one included. */
  tries: number;
  traceparent: string | undefined;
  /** What is still to be taken back; empty: nothing (any more). */
  calls: readonly PushedCall[];
}

type TakenRow = {
  notification_id: string;
  user_id: string;
  channel: number;
  tenant: string;
  clear_tries: number;
  traceparent: string | null;
};

type CallRow = {
  id: string;
  notification_id: string;
  user_id: string;
  channel: number;
  provider: string;
  address: string;
  provider_message_id: string;
};

const keyText = (row: { notification_id: string; channel: number; user_id: string }): string =>
  `${row.notification_id}\u0000${row.channel}\u0000${row.user_id}`;

/** Of the attempts `a`: a push that went out, or may have, or whose caller never said what came of it. */
const PUSHED = `a.step_channel = ${Channel.PUSH} and a.cleared_at is null and (a.outcome in ('sent', 'ambiguous')
  or (a.outcome = 'sending' and a.started_at <= w.now - ${limits.providerSendingLeaseMs} * interval '1 ms'))`;

/**
 * Takes up to `count` rows of a lane that are due to be cleared. Their time moves by `limits.clearLeaseMs` and the try counts
 * in the same statement: a worker that dies costs one. `now`: null is the database's clock.
 */
export async function takeClears(
  db: Queryable,
  { lane, now }: { lane: Lane; now: Date | null },
  count: number,
): Promise<Clearing[]> {
  if (count <= 0) return [];
  const { rows } = await db.query<TakenRow>({
    name: 'clears-take',
    text: `with due as materialized (
             select notification_id, user_id, channel from deliveries
              where lane = $1 and clear_due_at <= coalesce($2::timestamptz, now())
              order by clear_due_at limit $3 for update skip locked)
           update deliveries d set clear_tries = d.clear_tries + 1,
             clear_due_at = coalesce($2::timestamptz, now()) + $4::int * interval '1 ms'
             from due where d.notification_id = due.notification_id and d.user_id = due.user_id and d.channel = due.channel
           returning d.notification_id, d.user_id, d.channel, d.tenant, d.clear_tries,
             (select n.traceparent from notifications n where n.id = d.notification_id)`,
    values: [lane, now, count, limits.clearLeaseMs],
  });
  if (rows.length === 0) return [];
  const { rows: found } = await db.query<CallRow>({
    name: 'clears-calls',
    text: `select a.id, a.notification_id, a.user_id, a.channel, a.provider, a.address, a.provider_message_id
             from unnest($1::uuid[], $2::text[], $3::smallint[]) as k (notification_id, user_id, channel)
             join delivery_attempts a using (notification_id, user_id, channel)
             cross join (select coalesce($4::timestamptz, now()) as now) w
            where ${PUSHED} order by a.started_at, a.id`,
    values: [
      rows.map((row) => row.notification_id),
      rows.map((row) => row.user_id),
      rows.map((row) => row.channel),
      now,
    ],
  });
  const calls = Map.groupBy(found, keyText);
  return rows.map((row) => ({
    notificationId: row.notification_id,
    userId: row.user_id,
    channel: row.channel as Channel,
    tenant: row.tenant,
    lane,
    tries: row.clear_tries,
    traceparent: row.traceparent ?? undefined,
    calls: (calls.get(keyText(row)) ?? []).map((call) => ({
      attemptId: call.id,
      provider: call.provider,
      address: call.address,
      providerMessageId: call.provider_message_id,
    })),
  }));
}

/**
 * `cleared`: the provider took the clear. `refused`: it never will. `gone`: the device is no longer registered. `unsupported`: the
 * provider cannot take anything back. `failed`: all tries are used up.
 */
export type ClearOutcome = 'cleared' | 'refused' | 'gone' | 'unsupported' | 'failed';

export interface ClearEnd {
  attemptId: string;
  outcome: ClearOutcome;
  error: string;
}

/**
 * Stores what came of a take, in one statement. `againMs`: when what is left is tried again; undefined: no more, except for a
 * call that is still being made. Only the last taker's word on the time counts.
 */
export async function finishClear(
  db: Queryable,
  { notificationId, userId, channel, tries }: Clearing,
  ends: readonly ClearEnd[],
  againMs: number | undefined,
  now: Date | null,
): Promise<void> {
  await db.query({
    name: 'clears-finish',
    text: `with w as (select coalesce($9::timestamptz, now()) as now),
      ended as (
        update delivery_attempts a set clear_outcome = e.outcome, clear_error = e.error, cleared_at = w.now
          from unnest($5::uuid[], $6::text[], $7::text[]) as e (id, outcome, error), w
         where a.id = e.id and a.cleared_at is null)
      update deliveries d set clear_due_at = case
          when $8::float8 is not null then w.now + $8::float8 * interval '1 ms'
          else (select max(a.started_at) + ${limits.providerSendingLeaseMs} * interval '1 ms' from delivery_attempts a
                 where a.notification_id = $1 and a.user_id = $2 and a.channel = $3 and a.outcome = 'sending'
                   and a.step_channel = ${Channel.PUSH} and a.cleared_at is null
                   and a.id <> all($5::uuid[])) end
        from w where d.notification_id = $1 and d.user_id = $2 and d.channel = $3 and d.clear_tries = $4`,
    values: [
      notificationId,
      userId,
      channel,
      tries,
      ends.map(({ attemptId }) => attemptId),
      ends.map(({ outcome }) => outcome),
      ends.map(({ error }) => error),
      againMs ?? null,
      now,
    ],
  });
}

/**
 * A call of this row is over: if the row was acknowledged while it was made, what it pushed is to be taken back now. Returns
 * whether it is.
 */
export async function hastenClear(
  db: Queryable,
  { notificationId, userId, channel }: DeliveryKey,
  now: Date | null,
): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'clears-hasten',
    text: `update deliveries set clear_due_at = least(clear_due_at, coalesce($4::timestamptz, now()))
            where notification_id = $1 and user_id = $2 and channel = $3 and clear_due_at is not null`,
    values: [notificationId, userId, channel, now],
  });
  return rowCount === 1;
}

/** Milliseconds until a row of the lane is to be cleared (0: now); undefined when none is. */
export async function earliestClearMs(
  db: Queryable,
  { lane, now }: { lane: Lane; now: Date | null },
): Promise<number | undefined> {
  const { rows } = await db.query<{ ms: number }>({
    name: 'clears-earliest',
    text: `select greatest(0, ceil(extract(epoch from clear_due_at - coalesce($2::timestamptz, now())) * 1000))::float8 as ms
             from deliveries where lane = $1 and clear_due_at is not null order by clear_due_at limit 1`,
    values: [lane, now],
  });
  return rows[0]?.ms;
}
