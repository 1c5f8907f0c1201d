// Puts items into users' inboxes in a test's database, with their deliveries, as the router's commit does.
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  Channel,
  DeliveryState,
  Lane,
  type NotificationSchema,
} from '../../gen/carillon/v1/notification_pb.ts';
import type { Database } from '../../storage/database.ts';
import type { Step } from '../../storage/delivery-row.ts';
import { allocateItems } from '../../storage/inbox-allocation.ts';
import { insertNotification } from './notification-rows.ts';

export interface InboxSeed {
  users: readonly string[];
  /** Items for each of them. */
  count?: number;
  lane?: Lane;
  traceparent?: string;
  notification?: MessageInitShape<typeof NotificationSchema>;
  state?: DeliveryState;
  steps?: readonly Step[];
  step?: number;
}

const IN_APP: readonly Step[] = [{ channel: Channel.IN_APP, afterMs: 0, until: 'ack' }];

const OPEN: readonly DeliveryState[] = [
  DeliveryState.QUEUED,
  DeliveryState.WAITING,
  DeliveryState.SENDING,
  DeliveryState.AMBIGUOUS,
];

/** Stores `count` notifications to all `users`, one after the other, in one commit; answers their ids. */
export async function seedInbox(db: Database, seed: InboxSeed): Promise<string[]> {
  const { users, notification, traceparent } = seed;
  const { count = 1, lane = Lane.NORMAL, state = DeliveryState.SENT, steps = IN_APP, step = 0 } = seed;
  const ids: string[] = [];
  await db.transaction(async (tx) => {
    ids.length = 0;
    while (ids.length < count)
      ids.push(await insertNotification(tx, { users, notification, traceparent, lane }));
    await tx.query({
      text: `insert into deliveries (notification_id, user_id, channel, tenant, lane, state, steps, step, step_channel, due_at)
             select n, u, ${Channel.IN_APP}, 'default', $3, $4, $5, $6, $7, $8::timestamptz
               from unnest($1::uuid[]) n, unnest($2::text[]) u order by n, u`,
      values: [
        ids,
        users,
        lane,
        state,
        JSON.stringify(steps),
        step,
        steps[step]!.channel,
        OPEN.includes(state) ? '2100-01-01T00:00:00Z' : null,
      ],
    });
    await allocateItems(
      tx,
      ids.flatMap((notificationId) =>
        users.map((userId) => ({ tenant: 'default', userId, notificationId, channel: Channel.IN_APP })),
      ),
    );
  });
  return ids;
}

export interface StoredState {
  user: string;
  state: DeliveryState;
  reason: string;
  due: boolean;
  fence: number;
}

/** The deliveries of a notification by user. */
export async function deliveriesOf(db: Database, notificationId: string): Promise<StoredState[]> {
  const { rows } = await db.query<{
    user: string;
    state: number;
    reason: string;
    due: boolean;
    fence: number;
  }>({
    text: `select user_id as user, state, reason, due_at is not null as due, fence from deliveries
            where notification_id = $1 order by user_id, channel`,
    values: [notificationId],
  });
  return rows.map((row) => ({ ...row, state: row.state as DeliveryState }));
}
