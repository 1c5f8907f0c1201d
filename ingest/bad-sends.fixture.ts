// Sends that break one rule each, with the field that the refusal must name.
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type SendRequest, SendRequestSchema } from '../gen/carillon/v1/ingest_pb.ts';
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { request } from './ingest.fixture.ts';

const DAY_MS = 86_400_000;

export interface BadSend {
  name: string;
  send: SendRequest;
  field: string;
}

const inDays = (days: number) => timestampFromMs(systemClock.now() + days * DAY_MS);
const notification = (more: Parameters<typeof request>[1]) => request(['ada'], more);

export const badSends: readonly BadSend[] = [
  { name: 'no notification', send: create(SendRequestSchema), field: 'notification' },
  { name: 'an empty audience', send: request([]), field: 'notification.audience.users.ids' },
  { name: 'an empty user id', send: request(['ada', '']), field: 'notification.audience.users.ids[1]' },
  {
    name: 'a user id of 257 bytes',
    send: request([`${'é'.repeat(128)}x`]),
    field: 'notification.audience.users.ids[0]',
  },
  { name: 'U+0000 in a user id', send: request(['a\0b']), field: 'notification.audience.users.ids' },
  {
    name: '10,001 users',
    send: request(Array.from({ length: 10_001 }, (_, index) => `u${index}`)),
    field: 'notification.audience.users.ids',
  },
  {
    name: 'no title and no body',
    send: notification({ notification: { content: {} } }),
    field: 'notification.content',
  },
  {
    name: 'a title of 1,025 bytes',
    send: notification({ notification: { content: { title: 'x'.repeat(1_025) } } }),
    field: 'notification.content.title',
  },
  {
    name: '65 entries of data',
    send: notification({
      notification: {
        content: {
          title: 't',
          data: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, 'v'])),
        },
      },
    }),
    field: 'notification.content.data',
  },
  {
    name: 'an idempotency key of 256 bytes',
    send: notification({ idempotencyKey: 'k'.repeat(256) }),
    field: 'idempotency_key',
  },
  { name: 'U+0000 in the key', send: notification({ idempotencyKey: 'a\0' }), field: 'idempotency_key' },
  {
    name: 'U+0000 in the category',
    send: notification({ notification: { category: '\0' } }),
    field: 'notification.category',
  },
  {
    name: 'a lane that is none',
    send: notification({ notification: { lane: 9 as Lane } }),
    field: 'notification.lane',
  },
  {
    name: 'a channel twice',
    send: notification({ notification: { channels: [1, 1] } }),
    field: 'notification.channels',
  },
  {
    name: 'channels and an escalation',
    send: notification({ notification: { channels: [1], escalation: [{ channel: 2 }] } }),
    field: 'notification',
  },
  {
    name: 'a ttl of nothing',
    send: notification({ notification: { ttl: { seconds: 0n } } }),
    field: 'notification.ttl',
  },
  {
    name: 'a ttl of a year',
    send: notification({ notification: { ttl: { seconds: 31_536_000n } } }),
    field: 'notification.ttl',
  },
  {
    name: 'a time to send in a year',
    send: notification({ notification: { sendAt: inDays(365) } }),
    field: 'notification.send_at',
  },
  {
    name: 'a time to send past all calendars',
    send: notification({ notification: { sendAt: { seconds: 1n << 62n } } }),
    field: 'notification.send_at',
  },
];
