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

const notCleared = { clear_outcome: '', clear_error: '', cleared_at: null };

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
  const attempt = { address: 'a', provider_message_id: '', started_at: at(10), ...notCleared };
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
        clear_due_at: null,
        clear_tries: 0,
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
        clear_due_at: null,
        clear_tries: 0,
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
        ...notCleared,
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
        ...notCleared,
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
  expect(decisions[1]?.inputs).toEqual({
    online: 'true',
    email: 'true',
    left_out: 'push NO_ADDRESS',
    foreground: 'false',
    known: 'true',
    plan_from: 'default',
  });
});

test('nothing decided yet, and nothing decided before it was cancelled', () => {
  expect(decisionsOf(base).at(-1)?.text).toBe('Nothing has been decided for this user yet.');
  const cancelled = { ...base, notification: { ...base.notification, state: NotificationState.CANCELLED } };
  expect(decisionsOf(cancelled).at(-1)?.text).toBe(
    'Nothing was decided for this user before it was CANCELLED.',
  );
});

const planned = (inputs: Explanation['deliveries'][number]['inputs']): Explanation['deliveries'][number] => ({
  user_id: 'ada',
  channel: Channel.IN_APP,
  step_channel: Channel.PUSH,
  state: DeliveryState.DELIVERED,
  reason: '',
  attempts: 1,
  updated_at: at(20),
  due_at: null,
  created_at: at(1),
  clear_due_at: null,
  clear_tries: 0,
  step: 1,
  steps: [
    { channel: Channel.IN_APP, afterMs: 10_000, until: 'ack' },
    { channel: Channel.PUSH, afterMs: 0, until: 'ack' },
  ],
  inputs,
});

test.each([
  [{ decided: 'ONLINE', online: true, foreground: true }, 'The user was connected.'],
  [
    { decided: 'ONLINE', online: true, foreground: false, background: 'stream', background_from: 'lane' },
    'The user was connected but did not look at the app; its lane leaves that to the stream.',
  ],
  [
    { decided: 'BACKGROUND', foreground: false, background: 'stream_and_push', background_from: 'category' },
    'The user was connected but did not look at the app; its category asks for the push at once.',
  ],
  [
    { decided: 'UNKNOWN', known: false },
    'Where the user was was not known: the edges were asked, and the ack deadline decides.',
  ],
  [{ decided: 'OFFLINE', online: false }, 'The user was not connected.'],
  [
    { decided: 'OFFLINE', vanished_ms: 7_000, linger_ms: 5_000, linger_from: 'default' },
    "The user's last connection had vanished 7000 ms before, longer than the linger of 5000 ms that the mesh gives.",
  ],
  [
    { decided: 'LINGER', vanished_ms: 7_000, linger_ms: 20_000, linger_from: 'category' },
    "The user's last connection had vanished 7000 ms before, within the linger of 20000 ms that its category gives.",
  ],
])('which rule decided, by what was known and whose policy: %j', (inputs, text) => {
  const [presence] = decisionsOf({ ...base, deliveries: [planned(inputs)] }).filter(
    ({ rule }) => rule === 'plan.presence',
  );
  expect(presence?.text).toBe(text);
  const { decided: _decided, ...known } = inputs;
  expect(presence?.inputs).toEqual({
    foreground: 'false',
    known: 'true',
    ...Object.fromEntries(Object.entries(known).map(([name, value]) => [name, String(value)])),
  });
});

test('a push that was taken back, one that could not be, and one that is still to be', () => {
  const attempt = {
    step_channel: Channel.PUSH,
    provider: 'sandbox',
    outcome: 'sent',
    provider_message_id: 'm',
    error: '',
    started_at: at(2),
    ended_at: at(3),
  };
  const clear = (address: string, clear_outcome: string, clear_error = '') => ({
    ...attempt,
    address,
    clear_outcome,
    clear_error,
    cleared_at: clear_outcome === '' ? null : at(21),
  });
  const decisions = decisionsOf({
    ...base,
    deliveries: [{ ...planned({}), clear_due_at: at(26), clear_tries: 1 }],
    attempts: [clear('a', 'cleared'), clear('b', 'failed', 'no answer'), clear('c', '')],
  }).filter(({ rule }) => rule.startsWith('clear.'));
  expect(decisions.map(({ rule, text }) => [rule, text])).toEqual([
    [
      'clear.waiting',
      `What was pushed is to be taken back, since a client has it; the next try is at ${at(26).toISOString()}.`,
    ],
    ['clear.cleared', 'sandbox took it back from the device, since a client has it.'],
    ['clear.failed', 'sandbox did not take it back, and is not asked again: no answer.'],
  ]);
});
