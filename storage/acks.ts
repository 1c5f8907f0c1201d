// What clients say of their items moves the deliveries forward: many users' acks in one statement, never backwards.
import { DeliveryState, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Queryable } from './database.ts';
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
 * `opened`: the person read it. The last two end every step.
 */
export type Report = 'acked' | 'closed' | 'opened';

const DONE = { acked: D.DELIVERED, closed: D.DELIVERED, opened: D.OPENED } as const;

/**
 * Moves the deliveries of `hit(tenant, user_id, notification_id, first_seq)`, a list of CTEs that ends with it. Rows are
 * locked in key order and looked at again once they are held. The fence rises with an end: what a provider's worker or a
 * router does next with the row hits nothing.
 */
export function reportSql(report: Report, hit: string): string {
  const to = DONE[report];
  const stays = report === 'acked' ? sqlAwaitsRead : 'false';
  return `
with ${hit}, locked as materialized (
  select d.notification_id, d.user_id, d.channel, d.state in (${D.DELIVERED}) or d.reason = 'ACKED' as known
    from hit join deliveries d
      on d.notification_id = hit.notification_id and d.user_id = hit.user_id and d.seq = hit.first_seq
   where d.tenant = hit.tenant and d.state in (${sqlMayBecome(to)}) and not (${stays} and d.reason = 'ACKED')
   order by d.notification_id, d.user_id, d.channel
     for update of d
), moved as (
  update deliveries d
     set state = case when ${stays} then d.state else ${to} end,
         reason = case when ${stays} then 'ACKED' else '' end,
         due_at = case when ${stays} then d.due_at end,
         fence = d.fence + case when ${stays} then 0 else 1 end,
         held = case when ${stays} then d.held else false end,
         updated_at = now()
    from locked l
   where d.notification_id = l.notification_id and d.user_id = l.user_id and d.channel = l.channel
  returning d.notification_id, d.tenant, d.user_id, d.seq, d.lane, not l.known as first
)
select moved.*, n.traceparent from moved left join notifications n on n.id = moved.notification_id`;
}

export type ReportedRow = {
  notification_id: string;
  tenant: string;
  user_id: string;
  seq: number;
  lane: number;
  first: boolean;
  traceparent: string | null;
};

export const reportedOf = (row: ReportedRow): Reported => ({
  notificationId: row.notification_id,
  tenant: row.tenant,
  userId: row.user_id,
  seq: row.seq,
  lane: row.lane as Lane,
  first: row.first,
  traceparent: row.traceparent ?? undefined,
});

const ACK = reportSql(
  'acked',
  `asked as (
  select * from unnest($1::text[], $2::text[], $3::int[], $4::int[]) as a (tenant, user_id, after, upto)
), hit as materialized (
  select distinct i.tenant, i.user_id, i.notification_id, i.first_seq
    from asked a join inbox_items i on i.tenant = a.tenant and i.user_id = a.user_id
     and i.first_seq > a.after and i.first_seq <= a.upto
)`,
);

/** Acknowledges the items of these ranges, which may overlap; answers the deliveries that were not acknowledged before. */
export async function acknowledge(db: Queryable, ranges: readonly AckRange[]): Promise<Reported[]> {
  const { rows } = await db.query<ReportedRow>({
    name: 'acks',
    text: ACK,
    values: [
      ranges.map(({ tenant }) => tenant),
      ranges.map(({ userId }) => userId),
      ranges.map(({ after }) => after),
      ranges.map(({ upto }) => upto),
    ],
  });
  return rows.map(reportedOf);
}
