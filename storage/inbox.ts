// What a device has missed: pages of the user's sequence after its position, with head and counts of the same snapshot.
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Queryable } from './database.ts';
import type { NotificationContent } from './inbox-item.ts';

export interface PageRequest {
  tenant: string;
  userId: string;
  /** The position of the device: rows after it are read. */
  after: number;
}

/** Something that happened at position `at` of the user's sequence: the item itself, or the last mark made on it. */
export interface InboxRow {
  /** `firstSeq`: the item is new here. Else `seq`: it was marked. */
  at: number;
  firstSeq: number;
  notificationId: string;
  seen: boolean;
  read: boolean;
  archived: boolean;
  /** No later than the moment at which `at` was given out, milliseconds since the epoch. */
  atMs: number;
}

export interface InboxPage {
  head: number;
  unseen: number;
  unread: number;
  /** In the order of `at`. */
  rows: InboxRow[];
  /** Nothing lies between the last row and the head. */
  complete: boolean;
}

interface PageRow {
  n: string;
  head: number | null;
  unseen: number | null;
  unread: number | null;
  at: number | null;
  first_seq: number;
  notification_id: string;
  seen: boolean;
  read: boolean;
  archived: boolean;
  at_ms: number;
}

// One statement, so one snapshot. Where the head is not past the position, neither index is touched: a heartbeat's look
// at an idle user costs one probe of inbox_heads. Both arms read at most $4 rows from an index in order.
const PAGES = `
select a.n, h.head, h.unseen, h.unread, i.*
  from unnest($1::text[], $2::text[], $3::int[]) with ordinality as a (tenant, user_id, after, n)
  left join inbox_heads h on h.tenant = a.tenant and h.user_id = a.user_id
  left join lateral (
    (select first_seq as at, first_seq, notification_id, seen_at is not null as seen, read_at is not null as read,
            archived_at is not null as archived, extract(epoch from created_at)::float8 * 1000 as at_ms
       from inbox_items
      where tenant = a.tenant and user_id = a.user_id and first_seq > a.after and h.head > a.after
      order by first_seq limit $4)
    union all
    (select seq, first_seq, notification_id, seen_at is not null, read_at is not null, archived_at is not null,
            extract(epoch from greatest(seen_at, read_at, archived_at))::float8 * 1000
       from inbox_items
      where tenant = a.tenant and user_id = a.user_id and seq > a.after and seq > first_seq and h.head > a.after
      order by seq limit $4)
    order by at limit $4
  ) i on true
 order by a.n, i.at`;

/** One page for each request, in their order, of at most `pageRows` rows each; all read in one snapshot. */
export async function readPages(
  db: Queryable,
  requests: readonly PageRequest[],
  pageRows: number,
): Promise<InboxPage[]> {
  const { rows } = await db.query<PageRow & Record<string, unknown>>({
    name: 'inbox-pages',
    text: PAGES,
    values: [
      requests.map(({ tenant }) => tenant),
      requests.map(({ userId }) => userId),
      requests.map(({ after }) => after),
      pageRows,
    ],
  });
  const pages: InboxPage[] = requests.map(() => ({
    head: 0,
    unseen: 0,
    unread: 0,
    rows: [],
    complete: true,
  }));
  for (const row of rows) {
    const page = pages[Number(row.n) - 1]!;
    page.head = row.head ?? 0;
    page.unseen = row.unseen ?? 0;
    page.unread = row.unread ?? 0;
    if (row.at === null) continue;
    page.rows.push({
      at: row.at,
      firstSeq: row.first_seq,
      notificationId: row.notification_id,
      seen: row.seen,
      read: row.read,
      archived: row.archived,
      atMs: Math.floor(row.at_ms),
    });
    if (page.rows.length === pageRows) page.complete = row.at >= page.head;
  }
  return pages;
}

/** What the replay needs of a notification. */
interface StoredContent extends NotificationContent {
  traceparent: string | undefined;
}

export interface Contents {
  found: StoredContent[];
  /** False when `budgetBytes` cut the answer: ids that are not in `found` may exist. */
  complete: boolean;
}

/**
 * The contents of these notifications as far as `budgetBytes` of payload reach, in the order of `ids`; the first one
 * that exists always. Those that retention removed are left out.
 */
export async function readContents(
  db: Queryable,
  ids: readonly string[],
  budgetBytes: number,
): Promise<Contents> {
  const { rows } = await db.query<{
    id: string;
    lane: number;
    category: string;
    created_at_ms: number;
    payload: Buffer | null;
    traceparent: string | null;
  }>({
    name: 'inbox-contents',
    text: `
      select id, lane, category, extract(epoch from created_at)::float8 * 1000 as created_at_ms, traceparent,
             case when upto - bytes < $2 then payload end as payload
        from (select n.*, octet_length(n.payload) as bytes, sum(octet_length(n.payload)) over (order by a.ord) as upto
                from unnest($1::uuid[]) with ordinality as a (asked, ord)
                join notifications n on n.id = a.asked) sized
       order by upto`,
    values: [ids, budgetBytes],
  });
  const found: StoredContent[] = [];
  for (const row of rows) {
    if (row.payload === null) return { found, complete: false };
    found.push({
      id: row.id,
      lane: row.lane as Lane,
      category: row.category,
      createdAtMs: row.created_at_ms,
      payload: row.payload,
      traceparent: row.traceparent ?? undefined,
    });
  }
  return { found, complete: true };
}

/** The identity of this store; cursors of another one do not apply here. 8 hexadecimal digits. */
export async function meshEpoch(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ epoch: string }>({ text: 'select epoch from mesh' });
  return rows[0]!.epoch;
}
