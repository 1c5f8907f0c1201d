// Users as the backend knows them: what was put last counts whole, and devices come from the clients themselves.
import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { type Device, DeviceSchema, type User, UserSchema } from '../gen/carillon/v1/admin_pb.ts';
import type { Platform } from '../gen/carillon/v1/edge_pb.ts';
import type { Queryable } from './database.ts';

interface UserRow {
  id: string;
  email: string;
  phone: string;
  locale: string;
  timezone: string;
}

interface DeviceRow {
  device_id: string;
  platform: number;
  token: string;
  last_seen_at: Date;
}

/** Stores the user; fields that are empty clear what was stored. Devices are not touched. */
export async function putUser(db: Queryable, tenant: string, user: User): Promise<void> {
  await db.query({
    name: 'users-put',
    text: `insert into users (tenant, id, email, phone, locale, timezone) values ($1, $2, $3, $4, $5, $6)
           on conflict (tenant, id) do update set email = excluded.email, phone = excluded.phone,
             locale = excluded.locale, timezone = excluded.timezone, updated_at = now()`,
    values: [tenant, user.id, user.email, user.phone, user.locale, user.timezone],
  });
}

async function devicesOf(db: Queryable, tenant: string, userId: string): Promise<Device[]> {
  const { rows } = await db.query<DeviceRow>({
    name: 'users-devices',
    text: `select device_id, platform, token, last_seen_at from devices
           where tenant = $1 and user_id = $2 order by last_seen_at desc, device_id limit 100`,
    values: [tenant, userId],
  });
  return rows.map((row) =>
    create(DeviceSchema, {
      deviceId: row.device_id,
      platform: row.platform as Platform,
      token: row.token,
      lastSeenAt: timestampFromDate(row.last_seen_at),
    }),
  );
}

/** The user with the 100 devices that were seen last; undefined when neither a user nor a device was ever put. */
export async function getUser(db: Queryable, tenant: string, userId: string): Promise<User | undefined> {
  const { rows } = await db.query<UserRow>({
    name: 'users-get',
    text: 'select id, email, phone, locale, timezone from users where tenant = $1 and id = $2',
    values: [tenant, userId],
  });
  const devices = await devicesOf(db, tenant, userId);
  const row = rows[0];
  if (!row && devices.length === 0) return undefined;
  return create(UserSchema, { ...(row ?? { id: userId }), devices });
}
