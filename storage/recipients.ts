// What a plan has to know of its recipients: which addresses they have. One query per page.
import type { Queryable } from './database.ts';

/** Who somebody is, within a tenant. */
export interface RecipientKey {
  tenant: string;
  userId: string;
}

/** The addresses of one recipient. A user who is not in `users` has none but may still have devices. */
export interface Recipient extends RecipientKey {
  devices: number;
  email: boolean;
  phone: boolean;
}

/** A recipient of whom nothing was asked, since only the inbox is planned. */
export const inboxOnly = (key: RecipientKey): Recipient => ({
  tenant: key.tenant,
  userId: key.userId,
  devices: 0,
  email: false,
  phone: false,
});

/** In the order of `keys`. */
export async function loadRecipients(db: Queryable, keys: readonly RecipientKey[]): Promise<Recipient[]> {
  if (keys.length === 0) return [];
  const { rows } = await db.query<{ devices: number; email: boolean; phone: boolean }>({
    name: 'recipients',
    text: `select coalesce(u.email, '') <> '' as email, coalesce(u.phone, '') <> '' as phone,
                  (select count(*)::int from devices v where v.tenant = k.tenant and v.user_id = k.user_id) as devices
             from unnest($1::text[], $2::text[]) with ordinality as k(tenant, user_id, nth)
             left join users u on u.tenant = k.tenant and u.id = k.user_id
            order by k.nth`,
    values: [keys.map((key) => key.tenant), keys.map((key) => key.userId)],
  });
  return keys.map(({ tenant, userId }, index) => ({ tenant, userId, ...rows[index]! }));
}
