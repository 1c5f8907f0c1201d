// One notification as its recipients see it, encoded once: routers send these bytes live, edges send the same from the store.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Item, ItemSchema } from '../gen/carillon/v1/edge_pb.ts';
import { type Lane, NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { varintBytes, writeVarint } from '../runtime/varint.ts';

/** What a row of `notifications` says of its content. */
export interface NotificationContent {
  id: string;
  lane: Lane;
  category: string;
  /** When it was accepted, milliseconds since the epoch. */
  createdAtMs: number;
  /** carillon.v1.Notification */
  payload: Uint8Array;
}

/** The item as every recipient first gets it: unseen, unread, not archived. */
export function itemOf({ id, lane, category, createdAtMs, payload }: NotificationContent): Item {
  const { content, actor } = fromBinary(NotificationSchema, payload, { readUnknownFields: false });
  const wholeMs = Math.floor(createdAtMs);
  return create(ItemSchema, {
    notificationId: id,
    category,
    lane,
    content,
    actor,
    createdAt: { seconds: BigInt(Math.floor(wholeMs / 1_000)), nanos: (wholeMs % 1_000) * 1_000_000 },
  });
}

export const encodeItem = (content: NotificationContent): Uint8Array => toBinary(ItemSchema, itemOf(content));

/**
 * Fields 3 (item) and, when there is one, 4 (traceparent) of `Deliver`, ready to follow a head of seq and cursor
 * (`DeliverRequest.items`). `suffix`: further fields of the item.
 */
export function deliverTail(item: Uint8Array, traceparent?: string, suffix?: Uint8Array): Uint8Array {
  const itemBytes = item.length + (suffix?.length ?? 0);
  const traceBytes = traceparent === undefined ? 0 : 2 + traceparent.length;
  const tail = new Uint8Array(1 + varintBytes(itemBytes) + itemBytes + traceBytes);
  tail[0] = 0x1a;
  let at = writeVarint(tail, 1, itemBytes);
  tail.set(item, at);
  at += item.length;
  if (suffix) tail.set(suffix, at);
  if (traceparent !== undefined) {
    at = tail.length - traceBytes;
    tail[at] = 0x22;
    tail[at + 1] = traceparent.length;
    for (let index = 0; index < traceparent.length; index++)
      tail[at + 2 + index] = traceparent.charCodeAt(index);
  }
  return tail;
}
