// Notifications as their senders see them: where each recipient stands, page by page, and how many are in which state.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  type Delivery,
  DeliverySchema,
  type NotificationStatus,
  NotificationStatusSchema,
} from '../gen/carillon/v1/ingest_pb.ts';
import {
  Channel,
  DeliveryState,
  type Lane,
  type NotificationState,
} from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Database, Queryable } from './database.ts';
import { sqlOpenDeliveries, sqlOpenNotifications } from './delivery-states.ts';

export type NotificationRow = {
  id: string;
  lane: number;
  category: string;
  state: number;
  recipients: number;
  expanded: number;
  created_at: Date;
  expires_at: Date;
};

/** NOTIFICATION_NOT_FOUND when there is none of this tenant. */
export async function readNotification(
  db: Queryable,
  tenant: string,
  id: string,
  lock: '' | 'for update' = '',
): Promise<NotificationRow> {
  const { rows } = await db.query<NotificationRow>({
    name: `notification-read ${lock}`,
    text: `select id, lane, category, state, recipients, expanded, created_at, expires_at
             from notifications where id = $1 and tenant = $2 ${lock}`,
    values: [id, tenant],
  });
  if (!rows[0]) throw new CarillonError('NOTIFICATION_NOT_FOUND');
  return rows[0];
}

/** The row after which a page begins. */
export interface After {
  userId: string;
  channel: number;
}

export const deliveryStatusColumns =
  'user_id, channel, step_channel, state, reason, attempts, updated_at, due_at';

export type DeliveryStatusRow = {
  user_id: string;
  channel: number;
  step_channel: number;
  state: number;
  reason: string;
  attempts: number;
  updated_at: Date;
  due_at: Date | null;
};

export function deliveryMessage(row: DeliveryStatusRow): Delivery {
  return create(DeliverySchema, {
    userId: row.user_id,
    channel: row.step_channel as Channel,
    state: row.state as DeliveryState,
    reason: row.reason,
    attempts: row.attempts,
    updatedAt: timestampFromDate(row.updated_at),
    ...(row.due_at && { dueAt: timestampFromDate(row.due_at) }),
  });
}

export interface StatusPage {
  status: NotificationStatus;
  /** Where the next page begins; undefined at the end. */
  next: After | undefined;
}

/** One page of a notification's deliveries and the counts of all, in one snapshot. NOTIFICATION_NOT_FOUND. */
export function readStatus(
  database: Database,
  tenant: string,
  id: string,
  { pageSize, after }: { pageSize: number; after?: After | undefined },
): Promise<StatusPage> {
  return database.snapshot(async (tx) => {
    const notification = await readNotification(tx, tenant, id);
    const { rows: counts } = await tx.query<{ state: number; count: number }>({
      name: 'notification-counts',
      text: 'select state, count(*)::int as count from deliveries where notification_id = $1 group by state order by state',
      values: [id],
    });
    const { rows } = await tx.query<DeliveryStatusRow>({
      name: 'notification-page',
      text: `select ${deliveryStatusColumns} from deliveries
              where notification_id = $1 and (user_id, channel) > ($2, $3::smallint)
              order by user_id, channel limit $4`,
      values: [id, after?.userId ?? '', after?.channel ?? 0, pageSize + 1],
    });
    const page = rows.slice(0, pageSize);
    const last = page.at(-1);
    return {
      status: create(NotificationStatusSchema, statusInit(notification, counts, page)),
      next: rows.length > pageSize && last ? { userId: last.user_id, channel: last.channel } : undefined,
    };
  });
}

function statusInit(
  notification: NotificationRow,
  counts: readonly { state: number; count: number }[],
  page: readonly DeliveryStatusRow[],
): MessageInitShape<typeof NotificationStatusSchema> {
  return {
    notificationId: notification.id,
    state: notification.state as NotificationState,
    category: notification.category,
    lane: notification.lane as Lane,
    acceptedAt: timestampFromDate(notification.created_at),
    recipients: notification.recipients,
    counts: counts.map(({ state, count }) => ({ state: state as DeliveryState, count })),
    deliveries: page.map(deliveryMessage),
  };
}

/** What tells whether a notification has changed since it was looked at. */
export interface Pulse {
  id: string;
  /** Differs whenever something differs. */
  mark: string;
  /** Nothing will change any more by itself: no row is due, and no item waits for its reader. */
  settled: boolean;
}

/** The pulses of those `ids` that exist. */
export async function readPulses(db: Queryable, ids: readonly string[]): Promise<Pulse[]> {
  const { rows } = await db.query<{ id: string; mark: string; settled: boolean }>({
    name: 'notification-pulses',
    text: `select n.id, concat_ws(' ', n.state, n.expanded, d.count, d.last, d.states) as mark,
                  n.state not in (${sqlOpenNotifications}) and coalesce(d.open, 0) = 0 as settled
             from notifications n
             left join lateral (
               select count(*) as count, max(updated_at) as last, sum(state::int * attempts + state) as states,
                      count(*) filter (where state in (${sqlOpenDeliveries})
                        or (state = ${DeliveryState.SENT} and step_channel = ${Channel.IN_APP} and n.expires_at > now())) as open
                 from deliveries where notification_id = n.id) d on true
            where n.id = any($1::uuid[])`,
    values: [ids],
  });
  return rows;
}
