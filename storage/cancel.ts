// Cancel and send exclude each other: cancel holds the notification FOR UPDATE, whoever sends re-reads it under a shared lock.
import { DeliveryState, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import type { Database, Queryable } from './database.ts';
import { sqlNotificationMayBecome } from './delivery-states.ts';
import { readNotification } from './notifications.ts';

const D = DeliveryState;
const N = NotificationState;

export interface Cancelled {
  /** False: every recipient was already served (or it had expired). */
  cancelled: boolean;
  /** Recipients that will not get it because of this call. */
  recipients: number;
  /** Recipients whom it had reached, or may have. */
  tooLate: number;
}

// An item that waits in the app may be on somebody's screen by now.
const MAY_HAVE_REACHED = `(d.state in (${D.SENDING}, ${D.SENT}, ${D.DELIVERED}, ${D.OPENED}, ${D.AMBIGUOUS}, ${D.BOUNCED})
  or d.reason = 'ACKED' or (d.state = ${D.WAITING} and d.seq is not null))`;

// SENDING and AMBIGUOUS are left to their worker, which finds the notification cancelled before it calls again. A step that
// was acknowledged and waited for a read has been delivered; what ends is the waiting.
const STOP = `
with held as materialized (
  select d.user_id, d.channel, d.seq, d.state in (${D.QUEUED}, ${D.WAITING}) as stops,
         ${MAY_HAVE_REACHED} as reached, d.reason = 'ACKED' as acked
    from deliveries d where d.notification_id = $1 order by d.user_id, d.channel for update
), stopped as (
  update deliveries d
     set state = case when held.acked then ${D.DELIVERED} else ${D.CANCELLED} end,
         reason = case when held.acked then '' else 'CANCELLED' end, due_at = null, held = false, fence = d.fence + 1, updated_at = now()
    from held where d.notification_id = $1 and d.user_id = held.user_id and d.channel = held.channel and held.stops
  returning d.user_id, case when held.acked then null else d.seq end as seq
), people as (
  select user_id, bool_or(stops) as stops, bool_or(reached) as reached from held group by user_id
)
select (select count(*)::int from people where stops) as stopped,
       (select count(*)::int from people where stops and not reached) as spared,
       (select count(*)::int from people where reached) as reached,
       (select coalesce(array_agg(user_id), '{}') from stopped where seq is not null) as with_items`;

// What nobody has acknowledged leaves the inbox, so that no replay shows it: heads first, in key order, then items.
const WITHDRAW = `
with heads as materialized (
  select user_id from inbox_heads where tenant = $2 and user_id = any($3::text[]) order by user_id for update
), gone as (
  delete from inbox_items i using heads
   where i.notification_id = $1 and i.tenant = $2 and i.user_id = heads.user_id
     and i.seen_at is null and i.read_at is null and i.archived_at is null
  returning i.user_id
), counted as (select user_id, count(*)::int as count from gone group by user_id)
update inbox_heads h set unseen = h.unseen - counted.count, unread = h.unread - counted.count
  from counted where h.tenant = $2 and h.user_id = counted.user_id`;

interface Stopped {
  stopped: number;
  spared: number;
  reached: number;
  with_items: string[];
}

async function stop(tx: Queryable, tenant: string, id: string): Promise<Stopped> {
  const { rows } = await tx.query<Stopped & Record<string, unknown>>({
    name: 'cancel-stop',
    text: STOP,
    values: [id],
  });
  const stopped = rows[0] ?? { stopped: 0, spared: 0, reached: 0, with_items: [] };
  if (stopped.with_items.length > 0)
    await tx.query({ name: 'cancel-withdraw', text: WITHDRAW, values: [id, tenant, stopped.with_items] });
  return stopped;
}

/**
 * Stops what has not gone out. Locks the notification, then its rows in key order, then inbox heads: as all others do.
 * Repeating it is harmless. NOTIFICATION_NOT_FOUND.
 */
export function cancelNotification(database: Database, tenant: string, id: string): Promise<Cancelled> {
  return database.transaction(async (tx) => {
    const notification = await readNotification(tx, tenant, id, 'for update');
    // A new statement, so that it sees what those who held the shared lock have stored.
    const { stopped, spared, reached } = await stop(tx, tenant, id);
    const unexpanded =
      notification.state === N.SCHEDULED ||
      notification.state === N.ACCEPTED ||
      notification.state === N.EXPANDING
        ? Math.max(0, notification.recipients - notification.expanded)
        : 0;
    const repeated = notification.state === N.CANCELLED;
    const cancelled = repeated || stopped > 0 || unexpanded > 0;
    if (cancelled && !repeated)
      await tx.query({
        name: 'cancel-notification',
        text: `update notifications set state = ${N.CANCELLED}, due_at = null
                where id = $1 and state in (${sqlNotificationMayBecome(N.CANCELLED)})`,
        values: [id],
      });
    return { cancelled, recipients: spared + unexpanded, tooLate: reached };
  });
}
