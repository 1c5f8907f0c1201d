// What clients say of their items moves the deliveries forward, never backwards: many users' acks in one statement, and what
// was pushed in vain is taken back.
import type { Handoff } from '../eventlog/event-log.ts';
import { Channel, DeliveryState, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import { clearRecord } from './clears.ts';
import type { Database, Queryable } from './database.ts';
import { sqlAwaitsRead, sqlMayBecome } from './delivery-states.ts';

const D = DeliveryState;

/** The positions (after, upto] of one user. */
export interface AckRange {
  tenant: string;
  userId: string;
  after: number;
  upto: number;
}

/** A delivery that its client reported for the first time. */
export interface Reported {
  notificationId: string;
  tenant: string;
  userId: string;
  /** Of the inbox item. */
  seq: number;
  lane: Lane;
  /** No client had reported it before: this is when it was delivered. */
  first: boolean;
  /** Of the notification. */
  traceparent: string | undefined;
}

/**
 * `acked`: a client has it. It ends everything but a step that waits for a read. `closed`: the person put it away.
 * `opened`: the person read it. The last two end every step, and the push of a notification that asked for several channels at
 * once: a push only points at the item. Its mail and its text message were asked for by name, and go on.
 */
export type Report = 'acked' | 'closed' | 'opened';

const DONE = { acked: D.DELIVERED, closed: D.DELIVERED, opened: D.OPENED } as const;

/**
 * As SQL, over `d`: a call of this row may have pushed something that the report would have stopped. A push that followed
 * because nobody had *read* the item is taken back by a read alone.
 */
const toClear = (
  report: Report,
): string => `(d.attempts > 0 and d.clear_due_at is null and d.clear_tries = 0 and exists (
  select from jsonb_array_elements(d.steps) with ordinality as s (step, nth)
   where s.nth <= d.step + 1 and (s.step ->> 'channel')::int = ${Channel.PUSH}
     ${report === 'acked' ? `and (s.nth = 1 or d.steps -> (s.nth::int - 2) ->> 'until' is distinct from 'read')` : ''}))`;

/**
 * Moves the deliveries of `hit(tenant, user_id, notification_id, first_seq)`, a list of CTEs that ends with it. Rows are
 * locked in key order and looked at again once they are held. The fence rises with an end: what a provider's worker or a
 * router does next with the row hits nothing. A push that is being sent at this moment is taken back when its call is over.
 */
function reportSql(report: Report, hit: string): string {
  const to = DONE[report];
  const stays = report === 'acked' ? sqlAwaitsRead : 'false';
  // A row of `channels` beside the one that has the item.
  const beside = `(d.seq is null and d.channel = ${Channel.PUSH} and d.state in (${D.QUEUED}, ${D.SENDING}, ${D.AMBIGUOUS}, ${D.SENT}))`;
  return `
with ${hit}, locked as materialized (
  select d.notification_id, d.user_id, d.channel, d.state in (${D.DELIVERED}) or d.reason = 'ACKED' as known
    from hit join deliveries d
      on d.notification_id = hit.notification_id and d.user_id = hit.user_id
     and (d.seq = hit.first_seq ${report === 'acked' ? '' : `or ${beside}`})
   where d.tenant = hit.tenant and d.state in (${sqlMayBecome(to)}) and not (${stays} and d.reason = 'ACKED')
   order by d.notification_id, d.user_id, d.channel
     for update of d
), moved as (
  update deliveries d
     set state = case when ${stays} then d.state when d.seq is null and d.state = ${D.QUEUED} then ${D.CANCELLED} else ${to} end,
         reason = case when ${stays} then 'ACKED' when d.seq is null then 'IN_APP' else '' end,
         due_at = case when ${stays} then d.due_at end,
         fence = d.fence + case when ${stays} then 0 else 1 end,
         held = case when ${stays} then d.held else false end,
         clear_due_at = case when not (${stays}) and ${toClear(report)}
                             then case when d.state = ${D.SENDING} then d.due_at else now() end else d.clear_due_at end,
         updated_at = now()
    from locked l
   where d.notification_id = l.notification_id and d.user_id = l.user_id and d.channel = l.channel
  returning d.notification_id, d.tenant, d.user_id, d.channel, d.seq, d.lane, not l.known as first,
    d.clear_due_at is not null as clears
)
select moved.*, n.traceparent from moved left join notifications n on n.id = moved.notification_id`;
}

type ReportedRow = {
  notification_id: string;
  tenant: string;
  user_id: string;
  channel: number;
  seq: number | null;
  lane: number;
  first: boolean;
  clears: boolean;
  traceparent: string | null;
};

const reportedOf = (row: ReportedRow & { seq: number }): Reported => ({
  notificationId: row.notification_id,
  tenant: row.tenant,
  userId: row.user_id,
  seq: row.seq,
  lane: row.lane as Lane,
  first: row.first,
  traceparent: row.traceparent ?? undefined,
});

const hasItem = (row: ReportedRow): row is ReportedRow & { seq: number } => row.seq !== null;

/** A statement of `reportSql`, made once. */
export interface Reporting {
  readonly name: string;
  readonly text: string;
}

export const reporting = (report: Report, name: string, hit: string): Reporting => ({
  name,
  text: reportSql(report, hit),
});

/** What a report moved. `cleared`: the records that wake those who take back pushes, to be handed off last. */
export interface Moved {
  reported: Reported[];
  cleared: ReturnType<typeof clearRecord>[];
}

export async function report(db: Queryable, { name, text }: Reporting, values: unknown[]): Promise<Moved> {
  const { rows } = await db.query<ReportedRow>({ name, text, values });
  return {
    reported: rows.filter(hasItem).map(reportedOf),
    cleared: rows
      .filter(({ clears }) => clears)
      .map((row) =>
        clearRecord(
          {
            notificationId: row.notification_id,
            userId: row.user_id,
            channel: row.channel as Channel,
            tenant: row.tenant,
            lane: row.lane as Lane,
          },
          row.traceparent ?? undefined,
        ),
      ),
  };
}

const ACK = reporting(
  'acked',
  'acks',
  `asked as (
  select * from unnest($1::text[], $2::text[], $3::int[], $4::int[]) as a (tenant, user_id, after, upto)
), hit as materialized (
  select distinct i.tenant, i.user_id, i.notification_id, i.first_seq
    from asked a join inbox_items i on i.tenant = a.tenant and i.user_id = a.user_id
     and i.first_seq > a.after and i.first_seq <= a.upto
)`,
);

/**
 * Acknowledges the items of these ranges, which may overlap; answers the deliveries that were not acknowledged before. One
 * statement, unless a push is to be taken back.
 */
export async function acknowledge(
  db: Database,
  handoff: Handoff,
  ranges: readonly AckRange[],
): Promise<Reported[]> {
  const { reported, cleared } = await report(db, ACK, [
    ranges.map(({ tenant }) => tenant),
    ranges.map(({ userId }) => userId),
    ranges.map(({ after }) => after),
    ranges.map(({ upto }) => upto),
  ]);
  // The ack stands. These records only wake a worker; the rows' `clear_due_at` brings back what they could not say.
  if (cleared.length > 0) await wake(db, handoff, cleared).catch(() => {});
  return reported;
}

async function wake(db: Database, handoff: Handoff, records: Moved['cleared']): Promise<void> {
  const written = await db.transaction((tx) => handoff.write(tx, records));
  written.committed();
}
