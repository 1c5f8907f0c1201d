// Messages for tests of providers.
import { create } from '@bufbuild/protobuf';
import { ContentSchema, Lane } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import type { DestinationAddress } from '../storage/addresses.ts';
import type { Message } from './provider.ts';

export const email = (address = 'ada@example.org'): DestinationAddress => ({ kind: 'email', email: address });

export function message(address: DestinationAddress, changes: Partial<Message> = {}): Message {
  return {
    tenant: 'default',
    notificationId: systemIds.uuid(),
    userId: 'ada',
    address,
    category: 'default',
    lane: Lane.NORMAL,
    content: create(ContentSchema, { title: 'Your order', body: 'It is on its way.' }),
    expiresAtMs: systemClock.now() + 60_000,
    traceparent: undefined,
    attemptId: systemIds.uuid(),
    ...changes,
  };
}
