// A page of the caller's inbox, newest first; what it does not show yet comes by the cursor it ends with.
import { create, fromBinary } from '@bufbuild/protobuf';
import {
  type InboxItem,
  InboxItemSchema,
  ItemSchema,
  type ListInboxRequest,
  type ListInboxResponse,
  ListInboxResponseSchema,
} from '../gen/carillon/v1/edge_pb.ts';
import type { Identity } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { invalidRequest } from '../runtime/validation.ts';
import type { InboxList, ListRequest } from '../storage/inbox-list.ts';
import { MAX_SEQ } from './cursor.ts';
import type { Hub } from './hub.ts';

const DEFAULT_COUNT = 50;
const TOKEN = /^1[0-9a-z]{1,6}$/;

const pageToken = (before: number): string => `1${before.toString(36)}`;

function beforeOf(token: string): number {
  if (token === '') return MAX_SEQ;
  const before = TOKEN.test(token) ? Number.parseInt(token.slice(1), 36) : Number.POSITIVE_INFINITY;
  if (before > MAX_SEQ)
    throw invalidRequest([{ field: 'page_token', description: 'is not one that Carillon gave out' }]);
  return before;
}

/** Fewer items than asked for, when they come to more than `limits.inboxPageBytes`; the next page goes on there. */
export async function listInboxPage(
  { hub, list }: { hub: Hub; list: (request: ListRequest) => Promise<InboxList> },
  { tenant, userId }: Identity,
  request: ListInboxRequest,
): Promise<ListInboxResponse> {
  const count = Math.min(request.pageSize || DEFAULT_COUNT, limits.inboxPageCount);
  const readMs = hub.clock.now();
  const found = await list({
    tenant,
    userId,
    before: beforeOf(request.pageToken),
    unreadOnly: request.unreadOnly,
    includeArchived: request.includeArchived,
    // One more tells whether there is a next page.
    count: count + 1,
  });
  const loaded = await hub.items.load(new Set(found.items.map(({ notificationId }) => notificationId)));
  const items: InboxItem[] = [];
  let bytes = 0;
  let last: number | undefined;
  for (const { seq, firstSeq, notificationId, seen, read, archived } of found.items.slice(0, count)) {
    if (loaded.beyond(notificationId) || (items.length > 0 && bytes >= limits.inboxPageBytes)) break;
    last = firstSeq;
    const encoded = loaded.item(notificationId);
    if (!encoded) continue;
    bytes += encoded.length;
    const item = fromBinary(ItemSchema, encoded);
    item.seen = seen;
    item.read = read;
    item.archived = archived;
    items.push(create(InboxItemSchema, { seq, firstSeq, item }));
  }
  const more = last !== undefined && last !== found.items.at(-1)?.firstSeq;
  return create(ListInboxResponseSchema, {
    items,
    nextPageToken: more ? pageToken(last!) : '',
    unseen: found.unseen,
    unread: found.unread,
    cursor: hub.frames.cursor(found.head, readMs),
  });
}
