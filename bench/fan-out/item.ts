// The notification that is sent around: 291 bytes of protobuf as an item, the size that LIMITS was measured with.
import { create, toBinary, toJson } from '@bufbuild/protobuf';
import { DeliverSchema, ItemSchema } from '../../gen/carillon/v1/edge_pb.ts';

const item = create(ItemSchema, {
  notificationId: '019a9d6e-5f3c-7d41-9e2b-3c1f5a7b9d0e',
  category: 'orders',
  lane: 2,
  content: {
    title: 'Your order is on its way',
    body: 'Parcel 4711 left the depot this morning and will be with you between two and four.',
    data: { order: 'o-20261120-4711', carrier: 'northwind' },
    imageUrl: 'https://images.example.com/o/4711.webp',
  },
  actor: { id: 'u-shop', name: 'Northwind' },
  createdAt: { seconds: 1_800_000_000n, nanos: 0 },
});

/** Field 3 of `Deliver`, encoded once, as a link brings it. */
export const itemField: Uint8Array = toBinary(DeliverSchema, create(DeliverSchema, { item }));
export const deliverOf = (seq: number) => create(DeliverSchema, { seq, cursor: '1'.padEnd(24, '0'), item });
export const itemJson = toJson(ItemSchema, item);
