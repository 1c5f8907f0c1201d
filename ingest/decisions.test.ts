// A person who asks why reads the way of one recipient in sentences, oldest first.
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import {
  Channel,
  DeliveryState,
  Lane,
  NotificationSchema,
  NotificationState,
} from '../gen/carillon/v1/notification_pb.ts';
import type { Explanation } from '../storage/explanation.ts';
import { decisionsOf } from './decisions.ts';

const at = (second: number) => new Date(1_800_000_000_000 + second * 1_000);

const base: Explanation = {
  notification: {
    id: '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee',
    lane: Lane.NORMAL,
    category: 'order_shipped',
    state: NotificationState.EXPANDED,
    recipients: 1,
    expanded: 1,
    created_at: at(0),
    expires_at: at(600),
  },
  sent: create(NotificationSchema),
  deliveries: [],
  attempts: [],
  items: [],
};

test('what a provider answered stands before what followed from it, though it was written down later', () => {
  const steps = [Channel.PUSH, Channel.EMAIL].map((channel) => ({
    channel,
    afterMs: 0,
    until: 'ack' as const,
  }));
  const attempt = { address: 'a', provider_message_id: '', started_at: at(10) };
  const decisions = decisionsOf({
    ...base,
    deliveries: [
      {
        user_id: 'ada',
        channel: Channel.PUSH,
        step_channel: Channel.EMAIL,
        state: DeliveryState.SENT,
        reason: '',
        attempts: 1,
        updated_at: at(13),
        due_at: null,
        created_at: at(1),
        step: 1,
        steps,
        inputs: {
          moved: [{ at: at(11).toISOString(), from: Channel.PUSH, to: Channel.EMAIL, reason: 'gone' }],
        },
      },
    ],
    attempts: [
      {
        ...attempt,
        step_channel: Channel.PUSH,
        provider: 'sandbox',
        outcome: 'permanent',
        error: 'gone',
        ended_at: at(11.002),
      },
      {
        ...attempt,
        step_channel: Channel.EMAIL,
        provider: 'sandbox',
        outcome: 'sent',
        error: '',
        started_at: at(12),
        ended_at: at(13.001),
      },
    ],
  });
  expect(decisions.map(({ rule }) => rule)).toEqual([
    'accepted',
    'plan',
    'attempt.permanent',
    'step.next',
    'attempt.sent',
    'state.sent',
  ]);
});

test('from the inbox over push to email', () => {
  const decisions = decisionsOf({
    ...base,
    deliveries: [
      {
        user_id: 'ada',
        channel: Channel.IN_APP,
        step_channel: Channel.EMAIL,
        state: DeliveryState.SENT,
        reason: '',
        attempts: 2,
        updated_at: at(31),
        due_at: null,
        created_at: at(1),
        step: 1,
        steps: [
          { channel: Channel.IN_APP, afterMs: 10_000, until: 'ack' },
          { channel: Channel.EMAIL, afterMs: 0, until: 'ack' },
        ],
        inputs: {
          online: true,
          email: true,
          left_out: 'push NO_ADDRESS',
          moved: [{ at: at(11).toISOString(), from: Channel.IN_APP, to: Channel.EMAIL, reason: 'NO_ACK' }],
        },
      },
    ],
    items: [{ first_seq: 7, created_at: at(1), seen_at: null, read_at: null, archived_at: null }],
    attempts: [
      {
        step_channel: Channel.EMAIL,
        provider: 'smtp',
        address: 'ada@example.com',
        outcome: 'transient',
        provider_message_id: '',
        error: '451 later',
        started_at: at(12),
        ended_at: at(13),
      },
      {
        step_channel: Channel.EMAIL,
        provider: 'smtp',
        address: 'ada@example.com',
        outcome: 'sent',
        provider_message_id: 'm-1',
        error: '',
        started_at: at(30),
        ended_at: at(31),
      },
    ],
  });
  expect(decisions.map(({ rule, text }) => [rule, text])).toEqual([
    ['accepted', `Accepted into the normal lane; given up at ${at(600).toISOString()}.`],
    ['plan', 'Planned in_app, then email if not acknowledged within 10 s.'],
    ['plan.left_out', 'Left out for want of an address: push NO_ADDRESS.'],
    ['inbox.stored', 'Stored in the inbox as item 7.'],
    ['step.next', 'Went on from in_app to email: no client acknowledged it in time.'],
    ['attempt.transient', 'smtp could not take it now: 451 later.'],
    ['attempt.sent', 'smtp took it.'],
    ['state.sent', 'SENT on email.'],
  ]);
  expect(decisions[1]?.inputs).toEqual({ online: 'true', email: 'true', left_out: 'push NO_ADDRESS' });
});

test('nothing decided yet, and nothing decided before it was cancelled', () => {
  expect(decisionsOf(base).at(-1)?.text).toBe('Nothing has been decided for this user yet.');
  const cancelled = { ...base, notification: { ...base.notification, state: NotificationState.CANCELLED } };
  expect(decisionsOf(cancelled).at(-1)?.text).toBe(
    'Nothing was decided for this user before it was CANCELLED.',
  );
});
