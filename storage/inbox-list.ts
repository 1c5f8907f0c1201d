// A user's inbox, newest first, page by page, with the counts and the head of the same snapshot.
import type { Queryable } from './database.ts';

export interface ListRequest {
  tenant: string;
  userId: string;
  /** Items first delivered before this position; past everything for the first page. */
  before: number;
  unreadOnly: boolean;
  includeArchived: boolean;
  count: number;
}

interface ListedItem {
  seq: number;
  firstSeq: number;
  notificationId: string;
  seen: boolean;
  read: boolean;
  archived: boolean;
}

export interface InboxList {
  head: number;
  unseen: number;
  unread: number;
  items: ListedItem[];
}

type Row = {
  head: number | null;
  unseen: number | null;
  unread: number | null;
  seq: number | null;
  first_seq: number;
  notification_id: string;
  seen: boolean;
  read: boolean;
  archived: boolean;
};

/** By where an item was first delivered, which never changes: marks made meanwhile neither repeat nor skip an item. */
export async function listInbox(db: Queryable, request: ListRequest): Promise<InboxList> {
  const { rows } = await db.query<Row>({
    name: 'inbox-list',
    text: `
      select h.head, h.unseen, h.unread, i.*
        from (select) one
        left join inbox_heads h on h.tenant = $1 and h.user_id = $2
        left join lateral (
          select seq, first_seq, notification_id, seen_at is not null as seen, read_at is not null as read,
                 archived_at is not null as archived
            from inbox_items
           where tenant = $1 and user_id = $2 and first_seq < $3
             and (read_at is null or not $4) and (archived_at is null or $5)
           order by first_seq desc limit $6) i on true
       order by i.first_seq desc`,
    values: [
      request.tenant,
      request.userId,
      request.before,
      request.unreadOnly,
      request.includeArchived,
      request.count,
    ],
  });
  const items: ListedItem[] = [];
  for (const row of rows)
    if (row.seq !== null)
      items.push({
        seq: row.seq,
        firstSeq: row.first_seq,
        notificationId: row.notification_id,
        seen: row.seen,
        read: row.read,
        archived: row.archived,
      });
  const { head, unseen, unread } = rows[0]!;
  return { head: head ?? 0, unseen: unseen ?? 0, unread: unread ?? 0, items };
}
