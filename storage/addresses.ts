// Where a user can be reached on a channel, read right before sending: an address that changed a second ago counts.
import type { Platform } from '../gen/carillon/v1/edge_pb.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Queryable } from './database.ts';

export type DestinationAddress =
  | { kind: 'email'; email: string }
  /** E.164. */
  | { kind: 'phone'; phone: string }
  | {
      kind: 'device';
      deviceId: string;
      platform: Platform;
      token: string;
      /** When the token was registered, milliseconds since the epoch: an older "gone" is not about it. */
      registeredAtMs: number;
    };

/** The address as one text, as it stands in `delivery_attempts.address`. */
export function addressText(address: DestinationAddress): string {
  switch (address.kind) {
    case 'email':
      return address.email;
    case 'phone':
      return address.phone;
    case 'device':
      return address.token;
  }
}

interface UserRow {
  tenant: string;
  id: string;
  email: string;
  phone: string;
}

interface DeviceRow {
  tenant: string;
  user_id: string;
  device_id: string;
  platform: number;
  token: string;
  registered_at: Date;
}

export interface AddressOf {
  tenant: string;
  userId: string;
}

/**
 * The addresses of each user on a channel, in the order of `users`: at most one for email and SMS, and for push the
 * `limits.userDevicesCount` devices that were seen last. Empty: the user cannot be reached there.
 */
export async function addressesOf(
  db: Queryable,
  channel: Channel,
  users: readonly AddressOf[],
): Promise<DestinationAddress[][]> {
  const keys = [users.map((user) => user.tenant), users.map((user) => user.userId)];
  const found = new Map<string, DestinationAddress[]>();
  const add = (tenant: string, userId: string, address: DestinationAddress) => {
    const key = `${tenant}\u0000${userId}`;
    const list = found.get(key);
    if (list) list.push(address);
    else found.set(key, [address]);
  };
  if (channel === Channel.PUSH) {
    const { rows } = await db.query<DeviceRow>({
      name: 'addresses-devices',
      text: `select d.* from (select distinct * from unnest($1::text[], $2::text[]) as k (tenant, user_id)) k
             cross join lateral (
               select tenant, user_id, device_id, platform, token, registered_at from devices
               where tenant = k.tenant and user_id = k.user_id order by last_seen_at desc, device_id limit $3) d`,
      values: [...keys, limits.userDevicesCount],
    });
    for (const row of rows)
      add(row.tenant, row.user_id, {
        kind: 'device',
        deviceId: row.device_id,
        platform: row.platform as Platform,
        token: row.token,
        registeredAtMs: row.registered_at.getTime(),
      });
  } else {
    const { rows } = await db.query<UserRow>({
      name: 'addresses-users',
      text: `select u.tenant, u.id, u.email, u.phone from users u
             join (select distinct * from unnest($1::text[], $2::text[]) as k (tenant, id)) k using (tenant, id)`,
      values: keys,
    });
    for (const { tenant, id, email, phone } of rows) {
      if (channel === Channel.EMAIL && email !== '') add(tenant, id, { kind: 'email', email });
      if (channel === Channel.SMS && phone !== '') add(tenant, id, { kind: 'phone', phone });
    }
  }
  return users.map(({ tenant, userId }) => found.get(`${tenant}\u0000${userId}`) ?? []);
}
