// Frames built by hand are the bytes that any protobuf reader takes for the message that was meant.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SubscribeResponseSchema } from '../gen/carillon/v1/edge_pb.ts';
import { Lane, NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { deliverTail, encodeItem, itemOf } from '../storage/inbox-item.ts';
import { MAX_SEQ } from './cursor.ts';
import { FrameWriter } from './frames.ts';
import { tailOf } from './items.ts';

const content = (title: string, body: string) => ({
  id: '01900000-0000-7000-8000-000000000000',
  lane: Lane.CRITICAL,
  category: 'orders',
  createdAtMs: 1_800_000_000_123.9,
  payload: toBinary(
    NotificationSchema,
    create(NotificationSchema, { content: { title, body }, actor: { id: 'eve' } }),
  ),
});
const traceparents = fc.option(
  fc.constantFrom(...['00', '01'].map((flags) => `00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags}`)),
  {
    nil: undefined,
  },
);

test('a Deliver frame is head and shared tail', () => {
  const writer = new FrameWriter('0123abcd');
  fc.assert(
    fc.property(
      fc.nat(MAX_SEQ),
      fc.nat(2 ** 42),
      fc.string({ maxLength: 100 }),
      fc.oneof(
        fc.string({ maxLength: 300 }),
        fc.nat(70_000).map((length) => 'x'.repeat(length)),
      ),
      traceparents,
      (seq, timeMs, title, body, traceparent) => {
        const item = content(title, body);
        const { bytes, traceparent: own } = tailOf(deliverTail(encodeItem(item), traceparent));
        const frame = Buffer.concat([writer.deliverHead(seq, timeMs, bytes.length, own), bytes]);
        expect(own !== undefined).toBe(traceparent?.endsWith('01') ?? false);
        expect(fromBinary(SubscribeResponseSchema, frame)).toEqual(
          create(SubscribeResponseSchema, {
            frame: {
              case: 'deliver',
              value: {
                seq,
                cursor: writer.cursor(seq, timeMs),
                item: itemOf(item),
                traceparent: traceparent ?? '',
              },
            },
          }),
        );
      },
    ),
  );
});

test('a sampled traceparent is taken out of the shared bytes wherever it stands in them', () => {
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const tail = deliverTail(encodeItem(content('a', 'b')));
  const field = Buffer.concat([Buffer.from([0x22, traceparent.length]), Buffer.from(traceparent)]);
  for (const bytes of [Buffer.concat([tail, field]), Buffer.concat([field, tail])])
    expect(tailOf(bytes)).toEqual({ bytes: expect.anything(), traceparent });
  expect(Buffer.from(tailOf(Buffer.concat([field, tail])).bytes).equals(tail)).toBe(true);
  expect(tailOf(Buffer.from([0x1a, 0xff, 0xff, 0xff, 0xff])).traceparent).toBeUndefined();
});
