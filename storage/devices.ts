// A user's devices: where push messages go. Registering the same device again renews its token.
import type { Database } from './database.ts';

export interface DeviceRegistration {
  tenant: string;
  userId: string;
  deviceId: string;
  platform: number;
  token: string;
}

/** Past `keepCount` devices of the user, those that registered or were seen longest ago go. */
export async function registerDevice(
  db: Database,
  { tenant, userId, deviceId, platform, token }: DeviceRegistration,
  keepCount: number,
): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.query({
      name: 'devices-register',
      text: `insert into devices (tenant, user_id, device_id, platform, token) values ($1, $2, $3, $4, $5)
             on conflict (tenant, user_id, device_id) do update
               set platform = excluded.platform, token = excluded.token, registered_at = now(), last_seen_at = now()`,
      values: [tenant, userId, deviceId, platform, token],
    });
    await tx.query({
      name: 'devices-trim',
      text: `with old as (
               select device_id from devices where tenant = $1 and user_id = $2
                order by last_seen_at desc, device_id offset $3)
             delete from devices d using (
               select device_id from devices
                where tenant = $1 and user_id = $2 and device_id in (select device_id from old)
                order by device_id for update skip locked) o
              where d.tenant = $1 and d.user_id = $2 and d.device_id = o.device_id`,
      values: [tenant, userId, keepCount],
    });
  });
}
