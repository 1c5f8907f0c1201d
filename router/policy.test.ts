// The routing rules: where a user is, what the category says, and what becomes of in-app, push, email.
import { describe, expect, it } from 'vitest';
import type { Whereabouts } from '../cluster/presence.ts';
import { BackgroundPolicy } from '../gen/carillon/v1/admin_pb.ts';
import { Channel, DeliveryState, EscalationCondition, Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import {
  type Ask,
  away,
  background,
  everywhere,
  given,
  lost,
  NOW,
  online,
  type Rules,
  recipient,
  vanished,
} from './plan.fixture.ts';
import { plan } from './plan.ts';

const S = DeliveryState;

describe('by the routing rules a user', () => {
  const { STREAM_ONLY, STREAM_AND_PUSH } = BackgroundPolicy;
  type Expected = { state: DeliveryState; reason: string; step: number; dueInMs: number };
  const wait = (reason: string, dueInMs: number): Expected => ({
    state: S.WAITING,
    reason,
    step: 0,
    dueInMs,
  });
  const pushed = (reason: string): Expected => ({
    state: S.QUEUED,
    reason,
    step: 1,
    dueInMs: limits.reconcileMs,
  });
  const rows: [string, Whereabouts, Lane, Rules | undefined, Expected][] = [
    ['who looks gets the stream', online, Lane.NORMAL, undefined, wait('ONLINE', 10_000)],
    [
      'who looks gets the stream, whatever the policy',
      online,
      Lane.CRITICAL,
      undefined,
      wait('ONLINE', 10_000),
    ],
    [
      'who looks gets no push at once',
      online,
      Lane.NORMAL,
      { background: STREAM_AND_PUSH },
      wait('ONLINE', 10_000),
    ],
    ['in the background gets the stream alone', background, Lane.NORMAL, undefined, wait('ONLINE', 10_000)],
    ['in the background gets bulk on the stream', background, Lane.BULK, undefined, wait('ONLINE', 10_000)],
    ['in the background gets a critical push', background, Lane.CRITICAL, undefined, pushed('BACKGROUND')],
    [
      'in the background gets what the category says',
      background,
      Lane.NORMAL,
      { background: STREAM_AND_PUSH },
      pushed('BACKGROUND'),
    ],
    [
      'in the background gets a critical one without push',
      background,
      Lane.CRITICAL,
      { background: STREAM_ONLY },
      wait('ONLINE', 10_000),
    ],
    ['who closed goes on at once', away, Lane.NORMAL, undefined, pushed('OFFLINE')],
    ['who vanished is waited for', vanished(1_000), Lane.NORMAL, undefined, wait('LINGER', 4_000)],
    [
      'who is away longer than the linger goes on',
      vanished(5_000),
      Lane.NORMAL,
      undefined,
      pushed('OFFLINE'),
    ],
    [
      'is waited for as long as the category says',
      vanished(20_000),
      Lane.NORMAL,
      { lingerMs: 60_000 },
      wait('LINGER', 40_000),
    ],
    [
      'is not waited for where the category says so',
      vanished(1),
      Lane.NORMAL,
      { lingerMs: 0 },
      pushed('OFFLINE'),
    ],
    ['of whom nothing is known is not offline', lost, Lane.NORMAL, undefined, wait('UNKNOWN', 10_000)],
    [
      'of whom nothing is known is not offline for an OTP',
      lost,
      Lane.CRITICAL,
      undefined,
      wait('UNKNOWN', 10_000),
    ],
    [
      'of whom something is known is not taken for one who does not look',
      { ...background, known: false },
      Lane.CRITICAL,
      undefined,
      wait('ONLINE', 10_000),
    ],
    [
      'of whom nothing is known is not offline though he vanished',
      { ...vanished(50_000), known: false },
      Lane.NORMAL,
      undefined,
      wait('UNKNOWN', 10_000),
    ],
  ];

  it.each(rows)('%s', (_name, where, lane, rules, { dueInMs, ...expected }) => {
    expect(plan(given({ lane, rules }), everywhere, where, NOW)).toMatchObject([
      { ...expected, dueAtMs: NOW + dueInMs, inInbox: true },
    ]);
  });
});

describe('a push at once', () => {
  const rules = { background: BackgroundPolicy.STREAM_AND_PUSH };
  const channelsOf = (row: { steps: readonly { channel: Channel }[] } | undefined) =>
    row?.steps.map(({ channel }) => channel);

  it('is for a user with a device alone', () => {
    const [row] = plan(given({ rules }), recipient({ email: true }), background, NOW);
    expect(row).toMatchObject({ state: S.WAITING, reason: 'ONLINE', step: 0 });
  });

  it('passes over no step that stood before it', () => {
    const ask = { escalation: [Channel.IN_APP, Channel.EMAIL, Channel.PUSH].map((channel) => ({ channel })) };
    const [row] = plan(given({ ask, rules }), everywhere, background, NOW);
    expect(row).toMatchObject({ state: S.QUEUED, reason: 'BACKGROUND', step: 1, stepChannel: Channel.PUSH });
    expect(channelsOf(row)).toEqual([Channel.IN_APP, Channel.PUSH, Channel.EMAIL]);
    expect(channelsOf(plan(given({ ask, rules }), everywhere, online, NOW)[0])).toEqual([
      Channel.IN_APP,
      Channel.EMAIL,
      Channel.PUSH,
    ]);
  });

  it.each([
    ['the push', [Channel.PUSH, Channel.EMAIL]],
    ['what comes before the push', [Channel.EMAIL, Channel.PUSH]],
  ])('waits where %s is for an item that was not read', (_name, [second, third]) => {
    const ask = {
      escalation: [
        { channel: Channel.IN_APP },
        { channel: second!, afterS: 60, condition: EscalationCondition.NOT_READ },
        { channel: third! },
      ],
    };
    expect(plan(given({ ask, rules }), everywhere, background, NOW)).toMatchObject([
      { state: S.WAITING, reason: 'UNREAD', step: 0, dueAtMs: NOW + 60_000 },
    ]);
  });

  it('is no matter where all channels were asked for at once', () => {
    const ask = { channels: [Channel.IN_APP, Channel.PUSH] };
    expect(plan(given({ ask, rules }), everywhere, background, NOW)).toMatchObject([
      { channel: Channel.IN_APP, state: S.SENT, reason: 'STORED' },
      { channel: Channel.PUSH, state: S.QUEUED, reason: 'PLANNED' },
    ]);
  });
});

describe('what a category says', () => {
  const sms = [{ channel: Channel.IN_APP }, { channel: Channel.SMS, afterS: 3 }];

  it('is the plan of a notification that says nothing itself', () => {
    const [row] = plan(given({ rules: { escalation: sms } }), everywhere, online, NOW);
    expect(row).toMatchObject({
      dueAtMs: NOW + 3_000,
      inputs: { plan_from: 'category', asked: 'in_app sms' },
    });
  });

  it.each<[string, Ask]>([
    ['channels', { channels: [Channel.EMAIL] }],
    ['an escalation', { escalation: [{ channel: Channel.EMAIL }] }],
  ])('gives way to %s of the notification', (_name, ask) => {
    const [row] = plan(given({ ask, rules: { escalation: sms } }), everywhere, online, NOW);
    expect(row).toMatchObject({
      stepChannel: Channel.EMAIL,
      inputs: { plan_from: 'notification', asked: 'email' },
    });
  });

  it('is never waited for longer than a minute', () => {
    const [row] = plan(given({ rules: { lingerMs: 3_600_000 } }), everywhere, vanished(1_000), NOW);
    expect(row?.dueAtMs).toBe(NOW + limits.lingerMaxMs - 1_000);
  });

  it('stands in the inputs with where it came from, as far as it decided', () => {
    const inputs = (lane: Lane, rules: Rules | undefined, where: Whereabouts) =>
      plan(given({ lane, rules }), everywhere, where, NOW)[0]?.inputs;
    expect(inputs(Lane.CRITICAL, undefined, background)).toMatchObject({
      decided: 'BACKGROUND',
      online: true,
      foreground: false,
      background: 'stream_and_push',
      background_from: 'lane',
    });
    expect(inputs(Lane.NORMAL, { background: BackgroundPolicy.STREAM_ONLY }, background)).toMatchObject({
      background: 'stream',
      background_from: 'category',
    });
    expect(inputs(Lane.NORMAL, { lingerMs: 9_000 }, vanished(7_000))).toMatchObject({
      vanished_ms: 7_000,
      linger_ms: 9_000,
      linger_from: 'category',
    });
    expect(inputs(Lane.NORMAL, undefined, lost)).toMatchObject({ known: false, online: false });
    expect(inputs(Lane.NORMAL, undefined, online)).toEqual({
      decided: 'ONLINE',
      asked: 'in_app push email',
      online: true,
      foreground: true,
      devices: 1,
      email: true,
      phone: true,
    });
  });
});
