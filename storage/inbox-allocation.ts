// One sequence per user: items get the user's next seqs under the lock of the head row, in the commit that stores them.
import type { Channel } from '../gen/carillon/v1/notification_pb.ts';
import type { Queryable } from './database.ts';
import type { DeliveryKey } from './delivery-row.ts';

export interface NewItem extends DeliveryKey {
  tenant: string;
}

export interface Allocated extends DeliveryKey {
  seq: number;
}

// The upsert locks heads in key order; unsorted it deadlocked in 33 of 37 rounds. All of a user's items in the call take
// one update of the head. `back` counts down to 0 per user, so that the last item gets the new head.
const ALLOCATE = `
with item as (
  select tenant, user_id, notification_id, channel, back
    from unnest($1::text[], $2::text[], $3::uuid[], $4::smallint[], $5::int[])
      as i(tenant, user_id, notification_id, channel, back)
), bumped as (
  insert into inbox_heads as h (tenant, user_id, head, unseen, unread)
  select tenant collate "C", user_id collate "C", count(*)::int, count(*)::int, count(*)::int
    from item group by 1, 2 order by 1, 2
  on conflict (tenant, user_id) do update
    set head = h.head + excluded.head, unseen = h.unseen + excluded.unseen, unread = h.unread + excluded.unread
  returning h.tenant, h.user_id, h.head
), numbered as (
  select item.*, bumped.head - item.back as seq
    from item join bumped on bumped.tenant = item.tenant and bumped.user_id = item.user_id
), stored as (
  insert into inbox_items (tenant, user_id, seq, first_seq, notification_id, created_at)
  select tenant, user_id, seq, seq, notification_id, now() from numbered
), named as (
  update deliveries d set seq = numbered.seq from numbered
   where d.notification_id = numbered.notification_id and d.user_id = numbered.user_id
     and d.channel = numbered.channel
)
select notification_id, user_id, channel, seq from numbered`;

/**
 * Stores the inbox items of delivery rows that this transaction has inserted or holds locked, and writes each seq into
 * its row. A user's items get their seqs in the order of `items`. Locks heads: only the log's heads may be locked later.
 */
export async function allocateItems(tx: Queryable, items: readonly NewItem[]): Promise<Allocated[]> {
  if (items.length === 0) return [];
  const after = new Map<string, number>();
  const back = new Array<number>(items.length);
  for (let index = items.length - 1; index >= 0; index--) {
    const user = `${items[index]!.tenant}\u001f${items[index]!.userId}`;
    const count = after.get(user) ?? 0;
    back[index] = count;
    after.set(user, count + 1);
  }
  const { rows } = await tx.query<{ notification_id: string; user_id: string; channel: number; seq: number }>(
    {
      name: 'inbox-allocate',
      text: ALLOCATE,
      values: [
        items.map((item) => item.tenant),
        items.map((item) => item.userId),
        items.map((item) => item.notificationId),
        items.map((item) => item.channel),
        back,
      ],
    },
  );
  return rows.map((row) => ({
    notificationId: row.notification_id,
    userId: row.user_id,
    channel: row.channel as Channel,
    seq: row.seq,
  }));
}
