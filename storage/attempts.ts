// Provider calls: an attempt is committed before its call, and what became of it moves the row by its fence, or not at all.
import type { Handoff } from '../eventlog/event-log.ts';
import { DeliveryState, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import type { Claimed } from './claims.ts';
import type { Database, Queryable } from './database.ts';
import { endStep } from './end-step.ts';

const S = DeliveryState;
const N = NotificationState;

/** A call that is about to be made. */
export interface Attempt {
  /** UUIDv7; travels to the provider with the message. */
  id: string;
  provider: string;
  address: string;
}

/** What became of a call. */
export interface AttemptEnd {
  id: string;
  outcome: 'sent' | 'transient' | 'permanent' | 'ambiguous';
  providerMessageId: string;
  error: string;
}

const END_ATTEMPTS = `update delivery_attempts a
  set outcome = e.outcome, provider_message_id = e.message_id, error = e.error, ended_at = clock_timestamp()
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as e (id, outcome, message_id, error)
  where a.id = e.id and a.outcome = 'sending'`;

const endValues = (ends: readonly AttemptEnd[]) => [
  ends.map((end) => end.id),
  ends.map((end) => end.outcome),
  ends.map((end) => end.providerMessageId),
  ends.map((end) => end.error),
];

/**
 * `begun`: the row is SENDING and the attempts are stored: call now. `lost`: somebody else has the row, or it came to
 * an end: drop it. `cancelled`, `expired`: the row has ended so, because its notification had.
 */
export type Begun = 'begun' | 'lost' | 'cancelled' | 'expired';

export interface Begin {
  attempts: readonly Attempt[];
  /** Calls of an earlier round of the same try, on other providers, that have ended. */
  ended: readonly AttemptEnd[];
  /** When the calls are taken for interrupted. */
  leaseMs: number;
  now: Date | null;
}

/**
 * One commit right before the calls: re-reads the notification under a shared lock, moves the row to SENDING by its fence,
 * stores the attempts. Cancel locks the notification FOR UPDATE, so that one of the two sees the other; KEY SHARE is the
 * shared lock that holds it off without holding up the expansion, which counts its pages in the same row.
 */
export async function begin(
  db: Queryable,
  row: Claimed,
  { attempts, ended, leaseMs, now }: Begin,
): Promise<Begun> {
  const first = ended.length === 0;
  const { rows } = await db.query<{ state: number; expired: boolean; begun: boolean; stopped: boolean }>({
    name: 'attempts-begin',
    text: `with ends as (${END_ATTEMPTS}),
      t as (select coalesce($5::timestamptz, now()) as now),
      n as (select state, expires_at <= t.now as expired from notifications, t where id = $6::uuid for key share of notifications),
      begun as (
        update deliveries d set state = ${S.SENDING}, due_at = t.now + $10::int * interval '1 ms', held = true,
          tries = d.tries + $11::int, attempts = d.attempts + cardinality($12::uuid[]), updated_at = t.now
        from n, t
        where d.notification_id = $6 and d.user_id = $7 and d.channel = $8 and d.fence = $9
          and d.state in (${S.QUEUED}, ${S.SENDING}) and n.state <> ${N.CANCELLED} and not n.expired
        returning d.tenant, d.step, d.step_channel),
      -- In SENDING only between two rounds, when the calls of the first certainly sent nothing.
      stopped as (
        update deliveries d set state = case when n.state = ${N.CANCELLED} then ${S.CANCELLED} else ${S.EXPIRED} end,
          reason = case when n.state = ${N.CANCELLED} then 'CANCELLED' else 'EXPIRED' end,
          due_at = null, held = false, updated_at = t.now
        from n, t
        where d.notification_id = $6 and d.user_id = $7 and d.channel = $8 and d.fence = $9
          and d.state in (${S.QUEUED}, ${S.SENDING}) and (n.state = ${N.CANCELLED} or n.expired)
        returning 1),
      stored as (
        insert into delivery_attempts
          (id, notification_id, user_id, channel, tenant, step, step_channel, provider, address, outcome, started_at)
        select a.id, $6, $7, $8, b.tenant, b.step, b.step_channel, a.provider, a.address, 'sending', clock_timestamp()
        from begun b, unnest($12::uuid[], $13::text[], $14::text[]) as a (id, provider, address))
      select n.state, n.expired, exists (select from begun) as begun, exists (select from stopped) as stopped from n`,
    values: [
      ...endValues(ended),
      now,
      row.notificationId,
      row.userId,
      row.channel,
      row.fence,
      leaseMs,
      first ? 1 : 0,
      attempts.map((attempt) => attempt.id),
      attempts.map((attempt) => attempt.provider),
      attempts.map((attempt) => attempt.address),
    ],
  });
  const [answer] = rows;
  if (answer?.begun) return 'begun';
  if (!answer?.stopped) return 'lost';
  return answer.state === N.CANCELLED ? 'cancelled' : 'expired';
}

/** Where the row goes. Delays in milliseconds. */
type Move =
  /** A provider took it. When the plan goes on unless somebody reacts, the row waits for that as long as the plan says. */
  | { to: 'sent' }
  | { to: 'retry'; afterMs: number; reason: string; counted: boolean }
  | { to: 'ambiguous'; afterMs: number; reason: string }
  | { to: 'step'; reason: string; otherwise: 'failed' | 'dead' };

export interface Finish {
  move: Move;
  ends: readonly AttemptEnd[];
  now: Date | null;
}

/** The state in which the row is now; undefined: it was no longer the caller's, and nothing of it changed. */
export type Finished = DeliveryState | undefined;

/**
 * Stores what became of the calls and moves the row, in one commit. By fence: an ack, or a claim by somebody else, that
 * came in between stays what it is; what became of the calls is stored all the same.
 */
export async function finish(
  db: Database,
  handoff: Handoff,
  row: Claimed,
  { move, ends, now }: Finish,
): Promise<Finished> {
  if (move.to === 'step') return finishStep(db, handoff, row, { move, ends, now });
  const state = move.to === 'retry' ? S.QUEUED : move.to === 'ambiguous' ? S.AMBIGUOUS : S.SENT;
  const { rows } = await db.query<{ state: number }>({
    name: 'attempts-finish',
    text: `with ends as (${END_ATTEMPTS}),
      t as (select coalesce($5::timestamptz, now()) as now),
      -- How long this step may take, if another one follows it.
      w as (select d.steps, case when $10 = ${S.SENT} and jsonb_array_length(d.steps) > d.step + 1
          then (d.steps -> d.step::int ->> 'afterMs')::float8 end as after_ms
        from deliveries d where d.notification_id = $6 and d.user_id = $7 and d.channel = $8)
      update deliveries d set
        state = case when w.after_ms is not null then ${S.WAITING} else $10::smallint end,
        reason = case when d.reason = 'ACKED' then d.reason when w.after_ms is not null then 'TAKEN' else $12 end,
        held = $10 = ${S.QUEUED},
        tries = greatest(0, d.tries - $13::int),
        due_at = case
          when w.after_ms is not null then t.now + w.after_ms * interval '1 ms'
          when $10 = ${S.SENT} then null
          else greatest(t.now, least(t.now + $11::bigint * interval '1 ms',
            (select n.expires_at from notifications n where n.id = $6))) end,
        updated_at = t.now
      from t, w
      where d.notification_id = $6 and d.user_id = $7 and d.channel = $8 and d.fence = $9 and d.state = ${S.SENDING}
      returning d.state`,
    values: [
      ...endValues(ends),
      now,
      row.notificationId,
      row.userId,
      row.channel,
      row.fence,
      state,
      move.to === 'sent' ? 0 : Math.round(move.afterMs),
      move.to === 'sent' ? '' : move.to === 'ambiguous' ? `AMBIGUOUS: ${move.reason}` : move.reason,
      move.to === 'retry' && !move.counted ? 1 : 0,
    ],
  });
  return rows[0]?.state as Finished;
}

/** The row has nothing more to try here: the next step of its plan, or the end. */
async function finishStep(
  db: Database,
  handoff: Handoff,
  row: Claimed,
  { move, ends, now }: { move: Extract<Move, { to: 'step' }>; ends: readonly AttemptEnd[]; now: Date | null },
): Promise<Finished> {
  const { state, written } = await db.transaction(async (tx) => {
    if (ends.length > 0)
      await tx.query({ name: 'attempts-end', text: END_ATTEMPTS, values: endValues(ends) });
    return endStep(tx, handoff, row, { ...move, from: [S.QUEUED, S.SENDING], now });
  });
  written?.committed();
  return state;
}
