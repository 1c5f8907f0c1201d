// Push over APNs: Apple's part is taken by a fake that another client of APNs accepts, and our adapter passes its whole table against it.
import { create } from '@bufbuild/protobuf';
import apn from '@parse/node-apn';
import { describe, expect, it } from 'vitest';
import { Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { ContentSchema, Lane } from '../../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { silentLog } from '../../runtime/log.ts';
import { selfSigned } from '../../test/support/self-signed.ts';
import { device } from '../device.fixture.ts';
import { httpProviderContract } from '../http-provider.contract.ts';
import { email, message } from '../message.fixture.ts';
import type { Message, Outcome, Provider } from '../provider.ts';
import { apnsKind } from './apns.ts';
import { apnsAnswers } from './apns-errors.ts';
import { apnsUrlOf } from './apns-settings.ts';
import {
  apnsAccount,
  apnsRefusal,
  badToken,
  goneAtMs,
  goneToken,
  startFakeApns,
} from './fake-apns.fixture.ts';

const phone = (token = 'c0ffee00'.repeat(8), registeredAtMs = 0) =>
  device(token, Platform.IOS, registeredAtMs);
const calm = () => new AbortController().signal;

function open(baseUrl: string, clock: Clock = new ManualClock(), changes = {}): Provider {
  const settings = apnsKind.settings.parse({ ...apnsAccount, baseUrl, ...changes });
  return apnsKind.open({
    name: 'apns',
    settings,
    receiptsUrl: undefined,
    clock,
    ids: systemIds,
    log: silentLog,
  });
}

const send = (provider: Provider, sent: Message): Promise<Outcome> =>
  provider.send(sent, { signal: calm(), attemptId: sent.attemptId });

httpProviderContract('APNs', {
  start: () => startFakeApns(new ManualClock()),
  open,
  address: phone(),
  foreign: email(),
  badAddresses: ['', 'abc', `${'ab'.repeat(32)}/../x`, `${'ab'.repeat(31)} 0`, 'dQw4:APA91b'].map((token) =>
    phone(token),
  ),
  // Those of a provider that has sent before are below.
  rows: apnsAnswers.filter(({ code }) => !code?.endsWith('.proven')),
  answer: ({ status, code = '', verdict }) => {
    const [reason = ''] = code.split('.');
    return apnsRefusal(Number(status), reason, verdict === 'gone' ? goneAtMs : undefined);
  },
  secrets: [apnsAccount.key.slice(40, 80), apnsAccount.teamId],
});

describe("another client's pushes", () => {
  it('are taken and refused by the fake as by APNs', async () => {
    await using fake = await startFakeApns(systemClock, { tls: selfSigned() });
    const { key, keyId, teamId, topic } = apnsAccount;
    const client = new apn.Provider({
      token: { key, keyId, teamId },
      production: true,
      address: 'localhost',
      port: Number(new URL(fake.server.url).port),
      rejectUnauthorized: false,
    });
    const notification = new apn.Notification({
      alert: { title: 'Hi', body: 'there' },
      topic,
      sound: 'default',
    });
    notification.pushType = 'alert';
    notification.id = systemIds.uuid();
    notification.expiry = 1_900_000_000;
    const tokens = [phone().token, goneToken, badToken];
    const { sent, failed } = await client.send(notification, tokens);
    await client.shutdown();
    expect(sent).toEqual([expect.objectContaining({ device: phone().token })]);
    expect(failed).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          device: goneToken,
          status: 410,
          response: { reason: 'Unregistered', timestamp: goneAtMs },
        }),
        expect.objectContaining({ device: badToken, status: 400, response: { reason: 'BadDeviceToken' } }),
      ]),
    );
    expect(fake.pushes[0]?.payload.aps).toEqual({ alert: { title: 'Hi', body: 'there' }, sound: 'default' });
    expect(fake.taken()).toEqual([notification.id]);
  });
});

describe('a token is deleted', () => {
  const address = (outcome: Outcome) => (outcome.kind === 'permanent' ? outcome.address : outcome.kind);

  it('when it was registered before the app was gone, and not when it was registered since', async () => {
    await using fake = await startFakeApns(new ManualClock());
    await using provider = open(fake.server.url);
    expect(address(await send(provider, message(phone(goneToken, goneAtMs - 1))))).toBe('gone');
    expect(address(await send(provider, message(phone(goneToken, goneAtMs))))).toBeUndefined();
    fake.server.forced = apnsRefusal(410, 'Unregistered');
    expect(address(await send(provider, message(phone(goneToken))))).toBeUndefined();
  });

  it('as none only when others work here: the environment could be the wrong one', async () => {
    await using fake = await startFakeApns(new ManualClock());
    await using provider = open(fake.server.url);
    expect(address(await send(provider, message(phone(badToken))))).toBeUndefined();
    expect((await send(provider, message(phone()))).kind).toBe('sent');
    expect(address(await send(provider, message(phone(badToken))))).toBe('invalid');
  });
});

describe('a push over APNs', () => {
  const content = create(ContentSchema, {
    title: 'Your order',
    body: 'It is on its way.',
    data: { aps: 'mine', order: '42' },
    imageUrl: 'https://cdn.example/box.png',
  });

  it('is an alert that replaces itself, under our id, with the sender’s data beside it', async () => {
    await using fake = await startFakeApns(new ManualClock());
    const clock = new ManualClock();
    await using provider = open(fake.server.url, clock);
    const sent = message(phone(), { content, category: 'orders', expiresAtMs: clock.now() + 90_500 });
    expect(await send(provider, sent)).toEqual({ kind: 'sent', messageId: sent.attemptId });
    const [push] = fake.pushes;
    expect(push?.token).toBe(phone().token);
    expect(push?.headers).toMatchObject({
      'apns-id': sent.attemptId,
      'apns-topic': apnsAccount.topic,
      'apns-push-type': 'alert',
      'apns-priority': '10',
      'apns-expiration': String(clock.now() / 1000 + 90),
      'apns-collapse-id': sent.notificationId,
    });
    expect(push?.payload).toEqual({
      aps: {
        alert: { title: 'Your order', body: 'It is on its way.' },
        sound: 'default',
        'mutable-content': 1,
      },
      type: 'notification',
      nid: sent.notificationId,
      aid: sent.attemptId,
      category: 'orders',
      data: { aps: 'mine', order: '42' },
      image: content.imageUrl,
    });
  });

  it.each([
    [Lane.CRITICAL, '10', 'time-sensitive'],
    [Lane.NORMAL, '10', undefined],
    [Lane.BULK, '5', undefined],
  ])('of lane %i has priority %s', async (lane, priority, level) => {
    await using fake = await startFakeApns(new ManualClock());
    await using provider = open(fake.server.url);
    await send(provider, message(phone(), { lane }));
    expect(fake.pushes[0]?.headers['apns-priority']).toBe(priority);
    expect(fake.pushes[0]?.payload.aps['interruption-level']).toBe(level);
  });

  it('is refused when it has more than 4,096 bytes, and nobody is asked; never cut', async () => {
    await using fake = await startFakeApns(new ManualClock());
    await using provider = open(fake.server.url);
    const large = message(phone(), { content: create(ContentSchema, { body: 'é'.repeat(2_000) }) });
    expect(await send(provider, large)).toEqual({
      kind: 'permanent',
      reason: expect.stringContaining('4096'),
    });
    expect(fake.server.requests).toHaveLength(0);
  });

  it('is taken back by one that nobody sees, under the same collapse id and an id of its own', async () => {
    await using fake = await startFakeApns(new ManualClock());
    await using provider = open(fake.server.url);
    const sent = { ...message(phone()), messageId: '' };
    expect(await provider.clear?.(sent, { signal: calm() })).toMatchObject({ kind: 'sent' });
    const [push] = fake.pushes;
    expect(push?.headers).toMatchObject({
      'apns-push-type': 'background',
      'apns-priority': '5',
      'apns-collapse-id': sent.notificationId,
    });
    expect(push?.headers['apns-id']).not.toBe(sent.attemptId);
    expect(push?.payload).toEqual({
      aps: { 'content-available': 1 },
      type: 'clear',
      nid: sent.notificationId,
      aid: sent.attemptId,
    });
  });
});

describe('the token that pushes carry', () => {
  it('is one for many pushes over one connection', async () => {
    await using fake = await startFakeApns(new ManualClock());
    await using provider = open(fake.server.url);
    const outcomes = await Promise.all(Array.from({ length: 40 }, () => send(provider, message(phone()))));
    expect(outcomes.map(({ kind }) => kind)).toEqual(outcomes.map(() => 'sent'));
    expect(new Set(fake.pushes.map(({ headers }) => headers.authorization)).size).toBe(1);
    expect(fake.server.connections).toBe(1);
  });

  it('is never as old as an hour, nor changed within 20 minutes', async () => {
    const clock = new ManualClock();
    await using fake = await startFakeApns(clock);
    await using provider = open(fake.server.url, clock);
    const madeMs: number[] = [];
    for (let minutes = 0; minutes < 300; minutes += 5) {
      expect((await send(provider, message(phone()))).kind).toBe('sent');
      const { authorization = '' } = fake.pushes.at(-1)?.headers ?? {};
      const claims = authorization.split('.')[1] ?? '';
      const { iat } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { iat: number };
      expect(clock.now() - iat * 1000).toBeLessThan(3_600_000);
      if (iat * 1000 !== madeMs.at(-1)) madeMs.push(iat * 1000);
      clock.advance(300_000);
    }
    expect(madeMs.length).toBeGreaterThan(4);
    for (const [index, ms] of madeMs.slice(1).entries())
      expect(ms - madeMs[index]!).toBeGreaterThanOrEqual(1_200_000);
  });
});

describe('a connection to APNs', () => {
  it('that Apple closes is replaced, and what was not looked at goes over the new one', async () => {
    const held = Promise.withResolvers<void>();
    await using fake = await startFakeApns(new ManualClock());
    await using provider = open(fake.server.url);
    expect((await send(provider, message(phone()))).kind).toBe('sent');
    const [session] = fake.server.sessions;
    fake.server.gate = held.promise;
    const arrived = Promise.withResolvers<void>();
    fake.server.onRequest = () => fake.server.requests.length === 3 && arrived.resolve();
    const both = [send(provider, message(phone())), send(provider, message(phone()))];
    await arrived.promise;
    // Streams 1 and 3 were looked at, 5 was not.
    session?.goaway(0, 3, Buffer.from('{"reason":"Shutdown"}'));
    held.resolve();
    expect((await Promise.all(both)).map(({ kind }) => kind)).toEqual(['sent', 'sent']);
    expect(fake.server.connections).toBe(2);
  });

  it('has as many streams as Apple allows, and no more', async () => {
    await using fake = await startFakeApns(new ManualClock(), { streams: 1 });
    await using provider = open(fake.server.url);
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => send(provider, message(phone()))));
    expect(outcomes.map(({ kind }) => kind)).toEqual(outcomes.map(() => 'sent'));
    expect(fake.server.connections).toBe(1);
  });
});

describe('the settings of APNs', () => {
  it('lead to the environment that they name', () => {
    const url = (changes: object) => apnsUrlOf(apnsKind.settings.parse({ ...apnsAccount, ...changes }));
    expect(url({})).toBe('https://api.push.apple.com');
    expect(url({ environment: 'sandbox' })).toBe('https://api.sandbox.push.apple.com');
    expect(url({ baseUrl: 'https://proxy.example' })).toBe('https://proxy.example');
  });

  it('take a key whose line breaks are written out', () => {
    const key = apnsAccount.key.replaceAll('\n', '\\n');
    expect(apnsKind.settings.safeParse({ ...apnsAccount, key }).success).toBe(true);
  });

  it.each([
    ['a key that is none', { key: 'AuthKey.p8' }],
    ['a key id with a line break', { keyId: 'ABC123DEF\n' }],
    ['a topic that is no bundle id', { topic: 'org.example\r\nx: y' }],
    ['an environment that Apple does not have', { environment: 'staging' }],
    ['a plain connection', { baseUrl: 'http://api.push.apple.com' }],
    ['what nobody knows', { colour: 'red' }],
  ])('with %s are refused', (_what, changes) => {
    expect(apnsKind.settings.safeParse({ ...apnsAccount, ...changes }).success).toBe(false);
  });
});
