// The notification that is sent around: 291 bytes of protobuf as an item, the size that LIMITS was measured with.
import { create, toBinary, toJson } from '@bufbuild/protobuf';
import { DeliverSchema, ItemSchema } from '../../gen/carillon/v1/edge_pb.ts';

const NUMBER = '4711';
const itemOf = (number: string) =>
  create(ItemSchema, {
    notificationId: '019a9d6e-5f3c-7d41-9e2b-3c1f5a7b9d0e',
    category: 'orders',
    lane: 2,
    content: {
      title: 'Your order is on its way',
      body: `Parcel ${number} left the depot this morning and will be with you between two and four.`,
      data: { order: `o-20261120-${number}`, carrier: 'northwind' },
      imageUrl: `https://images.example.com/o/${number}.webp`,
    },
    actor: { id: 'u-shop', name: 'Northwind' },
    createdAt: { seconds: 1_800_000_000n, nanos: 0 },
  });
const item = itemOf(NUMBER);
const cursor = '1'.padEnd(24, '0');

/** Field 3 of `Deliver`, encoded once, as a link brings it. */
export const itemField: Uint8Array = toBinary(DeliverSchema, create(DeliverSchema, { item }));
const numberAt = Buffer.from(itemField).indexOf(NUMBER);

/** As many of them as a batch has, each with a number of its own from `first` on, in the same memory as the batch before. */
export function numberItems(items: readonly Buffer[], first: number): void {
  for (const [index, bytes] of items.entries()) {
    let rest = first + index;
    for (let at = numberAt + NUMBER.length - 1; at >= numberAt; at--) {
      bytes[at] = 48 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
  }
}

export const deliverOf = (seq: number) => create(DeliverSchema, { seq, cursor, item });
/** An item that no other stream gets. */
export const differentOf = (seq: number, stream: number) =>
  create(DeliverSchema, { seq, cursor, item: itemOf(String(stream % 10_000).padStart(NUMBER.length, '0')) });
export const itemJson = toJson(ItemSchema, item);
