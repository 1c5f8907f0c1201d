// Rows of a provider channel that came due while nobody was busy with them: interrupted calls, and waits that are over.
import type { Handoff } from '../eventlog/event-log.ts';
import { type Channel, DeliveryState, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Share } from './claims.ts';
import type { Database, Queryable } from './database.ts';
import type { Step } from './delivery-row.ts';
import { bury, endStep, type HeldRow } from './end-step.ts';

const S = DeliveryState;

/**
 * Calls that were interrupted (SENDING, and the lease has run out): their attempts and rows become AMBIGUOUS, to be
 * settled after `waitMs`. The fence rises, so that whoever made the call can change nothing any more. Returns how many
 * attempts there were.
 */
export async function markInterrupted(
  db: Database,
  { stepChannel, lane, now }: Share,
  { count, waitMs }: { count: number; waitMs: number },
): Promise<{ rows: number; attempts: number }> {
  const { rows } = await db.query<{ rows: number; attempts: number }>({
    name: 'interrupted-mark',
    text: `with t as (select coalesce($3::timestamptz, now()) as now),
      due as (
        select d.notification_id, d.user_id, d.channel from deliveries d, t
        where d.state = ${S.SENDING} and d.step_channel = $1 and d.lane = $2 and d.due_at <= t.now
        order by d.due_at limit $4 for update of d skip locked),
      marked as (
        update deliveries d set state = ${S.AMBIGUOUS}, reason = 'AMBIGUOUS: the call was interrupted', held = true,
          fence = d.fence + 1, due_at = t.now + $5::bigint * interval '1 ms', updated_at = t.now
        from due, t
        where d.notification_id = due.notification_id and d.user_id = due.user_id and d.channel = due.channel
        returning d.notification_id, d.user_id, d.channel),
      attempts as (
        update delivery_attempts a set outcome = 'ambiguous', error = 'the call was interrupted', ended_at = clock_timestamp()
        from marked m
        where a.notification_id = m.notification_id and a.user_id = m.user_id and a.channel = m.channel
          and a.outcome = 'sending'
        returning 1)
      select (select count(*)::int from marked) as rows, (select count(*)::int from attempts) as attempts`,
    values: [stepChannel, lane, now, count, Math.round(waitMs)],
  });
  return rows[0]!;
}

/**
 * For a process that knows that no other one works on the store: what its predecessor had claimed or was calling when it died
 * is due at once, instead of when its lease ends. Claims are known by how soon that is.
 */
export async function endLeases(
  db: Queryable,
  { stepChannel, lane, now }: Share,
  claimLeaseMs: number,
): Promise<void> {
  await db.query({
    name: 'interrupted-end-leases',
    text: `update deliveries d set due_at = t.now from (select coalesce($3::timestamptz, now()) as now) t
           where d.step_channel = $1 and d.lane = $2 and d.due_at > t.now and d.held
             and (d.state = ${S.SENDING} or (d.state = ${S.QUEUED} and d.due_at <= t.now + $4::int * interval '1 ms'))`,
    values: [stepChannel, lane, now, claimLeaseMs],
  });
}

interface DueRow {
  notification_id: string;
  user_id: string;
  channel: number;
  tenant: string;
  lane: number;
  step_channel: number;
  steps: Step[];
  step: number;
  reason: string;
  tries: number;
  fence: number;
}

const heldRow = (row: DueRow): HeldRow => ({
  notificationId: row.notification_id,
  userId: row.user_id,
  channel: row.channel as Channel,
  tenant: row.tenant,
  lane: row.lane as Lane,
  stepChannel: row.step_channel as Channel,
  fence: row.fence,
  steps: row.steps,
  step: row.step,
});

export interface Settled {
  /** Rows that are QUEUED again, and rows that ended as DEAD. */
  again: number;
  dead: number;
}

/** Settles AMBIGUOUS rows whose wait is over, by `settle`: again, or DEAD with a dead letter. */
export async function settleAmbiguous(
  db: Database,
  { stepChannel, lane, now }: Share,
  { count, settle }: { count: number; settle: (tries: number) => 'again' | 'dead' },
): Promise<Settled> {
  return db.transaction(async (tx) => {
    const { rows } = await tx.query<DueRow>({
      name: 'interrupted-ambiguous',
      text: `select notification_id, user_id, channel, tenant, lane, step_channel, steps, step, reason, tries, fence from deliveries
             where state = ${S.AMBIGUOUS} and step_channel = $1 and lane = $2
               and due_at <= coalesce($3::timestamptz, now())
             order by notification_id, user_id, channel limit $4 for update skip locked`,
      values: [stepChannel, lane, now, count],
    });
    const settled = { again: 0, dead: 0 };
    for (const row of rows) {
      const state = settle(row.tries) === 'again' ? S.QUEUED : S.DEAD;
      await tx.query({
        name: 'interrupted-settle',
        text: `update deliveries set state = $4::smallint, fence = fence + 1, held = $4 = ${S.QUEUED}, updated_at = t.now,
                 due_at = case when $4 = ${S.QUEUED} then t.now end
               from (select coalesce($5::timestamptz, now()) as now) t
               where notification_id = $1 and user_id = $2 and channel = $3`,
        values: [row.notification_id, row.user_id, row.channel, state, now],
      });
      if (state === S.DEAD) await bury(tx, heldRow(row), row.reason);
      settled[state === S.DEAD ? 'dead' : 'again'] += 1;
    }
    return settled;
  });
}

/**
 * WAITING rows whose wait is over (a provider took them, nobody reacted, the plan goes on) go to their next step. Each in
 * a commit of its own, since a step may write to the log. Returns how many moved.
 */
export async function escalateDue(
  db: Database,
  handoff: Handoff,
  { stepChannel, lane, now }: Share,
  count: number,
): Promise<number> {
  const { rows } = await db.query<DueRow>({
    name: 'interrupted-waiting',
    text: `select notification_id, user_id, channel, tenant, lane, step_channel, steps, step, reason, tries, fence from deliveries
           where state = ${S.WAITING} and step_channel = $1 and lane = $2 and due_at <= coalesce($3::timestamptz, now())
           order by due_at limit $4`,
    values: [stepChannel, lane, now, count],
  });
  let moved = 0;
  for (const row of rows) {
    const { state, written } = await db.transaction((tx) =>
      endStep(tx, handoff, heldRow(row), {
        from: [S.WAITING],
        reason: row.steps[row.step]?.until === 'read' ? 'NOT_READ' : 'NO_ACK',
        // A provider took it: that nothing can follow any more takes nothing back.
        otherwise: 'sent',
        now,
      }),
    );
    written?.committed();
    if (state !== undefined) moved += 1;
  }
  return moved;
}
