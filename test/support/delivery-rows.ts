// Delivery rows for tests of providers, as a router would have planned them.
import { Channel, DeliveryState, Lane } from '../../gen/carillon/v1/notification_pb.ts';
import type { Queryable } from '../../storage/database.ts';
import type { DeliveryKey, Step } from '../../storage/delivery-row.ts';
import { insertNotification, type NotificationRow } from './notification-rows.ts';

export interface PlannedDelivery extends Omit<NotificationRow, 'users'> {
  user?: string;
  /** The steps' channels; email when absent. */
  channels?: readonly Channel[];
  /** How long each step but the last may take. */
  afterMs?: number;
  /** Due so many milliseconds after `now`; 45 s, as a router's safety net, when absent. */
  dueMs?: number;
  now?: Date;
}

/** Stores a notification and one QUEUED row of it; returns the row's key. */
export async function insertDelivery(db: Queryable, planned: PlannedDelivery = {}): Promise<DeliveryKey> {
  const { user = 'ada', channels = [Channel.EMAIL], lane = Lane.NORMAL, tenant = 'default' } = planned;
  const notificationId = await insertNotification(db, { ...planned, users: [user] });
  const steps: Step[] = channels.map((channel, index) => ({
    channel,
    afterMs: index + 1 < channels.length ? (planned.afterMs ?? 600_000) : 0,
    until: 'ack',
  }));
  await db.query({
    text: `insert into deliveries (notification_id, user_id, channel, tenant, lane, state, steps, step_channel, due_at)
           values ($1, $2, $3, $4, $5, ${DeliveryState.QUEUED}, $6, $3,
                   coalesce($7::timestamptz, now()) + $8::float8 * interval '1 ms')`,
    values: [
      notificationId,
      user,
      channels[0],
      tenant,
      lane,
      JSON.stringify(steps),
      planned.now ?? null,
      planned.dueMs ?? 45_000,
    ],
  });
  return { notificationId, userId: user, channel: channels[0]! };
}

export async function insertUser(
  db: Queryable,
  user: { id?: string; email?: string; phone?: string; tokens?: readonly string[] } = {},
): Promise<void> {
  const { id = 'ada', email = 'ada@example.org', phone = '', tokens = [] } = user;
  await db.query({
    text: `insert into users (tenant, id, email, phone) values ('default', $1, $2, $3)`,
    values: [id, email, phone],
  });
  await db.query({
    text: `insert into devices (tenant, user_id, device_id, platform, token)
           select 'default', $1, 'device-' || t, 4, t from unnest($2::text[]) as t`,
    values: [id, tokens],
  });
}

export interface SeenRow {
  state: DeliveryState;
  reason: string;
  step: number;
  stepChannel: Channel;
  tries: number;
  attempts: number;
  fence: number;
  held: boolean;
  dueAt: Date | null;
}

export async function seeRow(db: Queryable, key: DeliveryKey): Promise<SeenRow> {
  const { rows } = await db.query<{ [K in keyof SeenRow]: SeenRow[K] }>({
    text: `select state, reason, step, step_channel as "stepChannel", tries, attempts, fence, held, due_at as "dueAt"
           from deliveries where notification_id = $1 and user_id = $2 and channel = $3`,
    values: [key.notificationId, key.userId, key.channel],
  });
  return rows[0]!;
}

export interface SeenAttempt {
  id: string;
  provider: string;
  address: string;
  outcome: string;
  error: string;
}

/** Oldest first. */
export async function seeAttempts(db: Queryable, key: DeliveryKey): Promise<SeenAttempt[]> {
  const { rows } = await db.query<{ [K in keyof SeenAttempt]: SeenAttempt[K] }>({
    text: `select id, provider, address, outcome, error from delivery_attempts
           where notification_id = $1 and user_id = $2 and channel = $3 order by started_at, id`,
    values: [key.notificationId, key.userId, key.channel],
  });
  return rows;
}
