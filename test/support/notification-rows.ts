// Puts accepted notifications into a test's database, as ingest would have.
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  AudienceSchema,
  ContentSchema,
  Lane,
  NotificationSchema,
  NotificationState,
  UsersSchema,
} from '../../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import type { Queryable } from '../../storage/database.ts';

export interface NotificationRow {
  users: readonly string[];
  notification?: MessageInitShape<typeof NotificationSchema>;
  state?: NotificationState;
  lane?: Lane;
  tenant?: string;
  traceparent?: string;
  ttlMs?: number;
  /** From now on; undefined: as the state asks. */
  dueInMs?: number;
}

const ENDS: readonly NotificationState[] = [
  NotificationState.EXPANDED,
  NotificationState.CANCELLED,
  NotificationState.EXPIRED,
];

/** Inserts one notification and returns its id. */
export async function insertNotification(db: Queryable, row: NotificationRow): Promise<string> {
  const { users, state = NotificationState.ACCEPTED, lane = Lane.NORMAL, tenant = 'default' } = row;
  const id = systemIds.uuid();
  const notification = create(NotificationSchema, row.notification);
  notification.lane = lane;
  notification.content ??= create(ContentSchema, { title: 'Hello', body: 'World' });
  notification.audience = create(AudienceSchema, {
    kind: { case: 'users', value: create(UsersSchema, { ids: [...users] }) },
  });
  await db.query({
    text: `insert into notifications (id, tenant, lane, category, state, payload, recipients, traceparent, created_at, expires_at, due_at)
           values ($1, $2, $3, 'default', $4, $5, $6, $7, $8, $9, now() + $10::float8 * interval '1 ms')`,
    values: [
      id,
      tenant,
      lane,
      state,
      toBinary(NotificationSchema, notification),
      new Set(users).size,
      row.traceparent ?? null,
      new Date(systemClock.now()),
      new Date(systemClock.now() + (row.ttlMs ?? 3_600_000)),
      ENDS.includes(state) ? null : (row.dueInMs ?? 60_000),
    ],
  });
  return id;
}
