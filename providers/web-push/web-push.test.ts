// Push to browsers: other people's client takes our fake for a push service, other people's service reads our messages, and our adapter passes its whole table.
import { Agent } from 'node:https';
import { createRequire } from 'node:module';
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { ContentSchema, Lane } from '../../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { limits } from '../../runtime/limits.ts';
import { silentLog } from '../../runtime/log.ts';
import { selfSigned } from '../../test/support/self-signed.ts';
import { device } from '../device.fixture.ts';
import { httpProviderContract, plainAnswer } from '../http-provider.contract.ts';
import { type FakeAnswer, startFakeServer } from '../http-server.fixture.ts';
import { email, message } from '../message.fixture.ts';
import type { Message, Outcome, Provider } from '../provider.ts';
import {
  type BrowserSubscription,
  knownSubscription,
  startFakePushService,
  vapidAccount,
} from './fake-push-service.fixture.ts';
import { webPushKind } from './web-push.ts';
import { webPushAnswers } from './web-push-errors.ts';

const require = createRequire(import.meta.url);
const calm = () => new AbortController().signal;
const browser = (subscription: object) => device(JSON.stringify(subscription), Platform.WEB);

function open(clock: Clock = new ManualClock(), changes = {}): Provider {
  const settings = webPushKind.settings.parse({ ...vapidAccount, endpoints: 'any', ...changes });
  return webPushKind.open({
    name: 'web-push',
    settings,
    receiptsUrl: undefined,
    clock,
    ids: systemIds,
    log: silentLog,
  });
}

const send = (provider: Provider, sent: Message): Promise<Outcome> =>
  provider.send(sent, { signal: calm(), attemptId: sent.attemptId });

const ELSEWHERE = 'https://push.example';

/** The suite knows one address before there is a service: it is put to the service that is asked. */
function openAt(baseUrl: string, clock: Clock): Provider {
  const inner = open(clock);
  const put = <M extends Pick<Message, 'address'>>(sent: M): M => ({
    ...sent,
    address:
      sent.address.kind === 'device'
        ? { ...sent.address, token: sent.address.token.replace(ELSEWHERE, baseUrl) }
        : sent.address,
  });
  return {
    ...inner,
    send: (sent, options) => inner.send(put(sent), options),
    clear: (sent, options) => inner.clear!(put(sent), options),
  };
}

const { endpoint, keys } = knownSubscription(ELSEWHERE);

httpProviderContract('Web Push', {
  start: () => startFakePushService(new ManualClock()),
  open: openAt,
  address: browser({ endpoint, keys }),
  foreign: email(),
  badAddresses: [
    device('', Platform.WEB),
    device('dQw4:APA91b', Platform.WEB),
    browser({}),
    browser({ endpoint }),
    browser({ endpoint: 'ftp://push.example/x', keys }),
    browser({ endpoint: 'https://user:password@push.example/x', keys }),
    browser({ endpoint: `https://push.example/${'x'.repeat(2_048)}`, keys }),
    browser({ endpoint, keys: { ...keys, auth: 'AAAA' } }),
    browser({ endpoint, keys: { ...keys, p256dh: keys.auth } }),
    browser({ endpoint, keys: { ...keys, p256dh: Buffer.alloc(65, 4).toString('base64url') } }),
  ],
  rows: webPushAnswers.filter(({ status }) => status !== '2xx'),
  answer: plainAnswer,
  oneOfMany: true,
  secrets: [vapidAccount.privateKey, keys.auth, '/push/known'],
});

interface WebPush {
  sendNotification(
    to: BrowserSubscription,
    payload: string,
    options: object,
  ): Promise<{ statusCode: number }>;
}

interface PushApiModel {
  notifyUrl: string;
  subscribe(options: object): Promise<BrowserSubscription & { clientHash: string }>;
  handleNotification(hash: string, headers: object, body: Buffer): Promise<void>;
  getNotifications(body: { clientHash: string }): { messages: string[] };
  expireSubscription(hash: string): void;
}

describe("web-push, another's client", () => {
  it('is understood by the fake as by a push service', async () => {
    await using fake = await startFakePushService(systemClock, selfSigned());
    const client = require('web-push') as WebPush;
    const subscription = fake.subscribe();
    const options = {
      vapidDetails: vapidAccount,
      TTL: 60,
      urgency: 'high',
      topic: 'news',
      agent: new Agent({ rejectUnauthorized: false }),
    };
    const words = { type: 'notification', aid: 'one', text: 'Grüezi' };
    const { statusCode } = await client.sendNotification(subscription, JSON.stringify(words), options);
    expect(statusCode).toBe(201);
    expect(fake.messages).toEqual([{ ttl: 60, urgency: 'high', topic: 'news', words }]);
    fake.unsubscribe(subscription);
    const refused = client.sendNotification(subscription, '{}', options);
    await expect(refused).rejects.toMatchObject({ statusCode: 410 });
  });
});

describe("web-push-testing, another's push service", () => {
  /** Its checks and its decryption behind our HTTP. */
  async function startOther() {
    const { PushApiModel: Model } = require('web-push-testing/src/PushApiModel.js') as {
      PushApiModel: new () => PushApiModel;
    };
    const model = new Model();
    let result = Promise.resolve<FakeAnswer>({ status: 500 });
    const server = await startFakeServer(({ url, headers, body }) => {
      const given = {
        encoding: headers['content-encoding'],
        authorization: headers.authorization,
        ttl: headers.ttl,
      };
      result = model.handleNotification(url.slice('/notify/'.length), given, body).then(
        () => ({ status: 201 }),
        (error: Error) => ({ status: error.name === 'SubscriptionExpiredError' ? 410 : 400 }),
      );
      return { status: 201 };
    });
    model.notifyUrl = `${server.url}/notify/`;
    return { server, model, result: () => result };
  }

  it('accepts our signature and reads what we send', async () => {
    const { server, model, result } = await startOther();
    await using _closing = server;
    await using provider = open(systemClock);
    const { clientHash, ...subscription } = await model.subscribe({
      userVisibleOnly: 'true',
      applicationServerKey: vapidAccount.publicKey,
    });
    const sent = message(browser(subscription));
    await send(provider, sent);
    expect(await result()).toEqual({ status: 201 });
    const [text = ''] = model.getNotifications({ clientHash }).messages;
    expect(JSON.parse(text)).toMatchObject({
      nid: sent.notificationId,
      aid: sent.attemptId,
      title: 'Your order',
    });
    model.expireSubscription(clientHash);
    await send(provider, sent);
    expect(await result()).toEqual({ status: 410 });
  });
});

describe('a message to a browser', () => {
  const content = create(ContentSchema, {
    title: 'Your order',
    body: 'Grüezi',
    data: { title: 'mine', order: '42' },
  });

  it('replaces itself, and carries our ids and the sender’s data, for the browser alone', async () => {
    await using fake = await startFakePushService(new ManualClock());
    const clock = new ManualClock();
    await using provider = open(clock);
    const sent = message(browser(fake.subscribe()), {
      content,
      category: 'orders',
      expiresAtMs: clock.now() + 90_500,
    });
    const outcome = await send(provider, sent);
    expect(outcome).toEqual({ kind: 'sent', messageId: expect.stringContaining('/m/') });
    expect(fake.messages[0]).toEqual({
      ttl: 90,
      urgency: 'normal',
      topic: sent.notificationId.replaceAll('-', ''),
      words: {
        type: 'notification',
        nid: sent.notificationId,
        aid: sent.attemptId,
        category: 'orders',
        title: 'Your order',
        body: 'Grüezi',
        data: { title: 'mine', order: '42' },
      },
    });
    expect(fake.server.requests[0]?.body.toString('latin1')).not.toContain('order');
  });

  it.each([
    [Lane.CRITICAL, 'high'],
    [Lane.NORMAL, 'normal'],
    [Lane.BULK, 'low'],
  ])('of lane %i is of %s urgency', async (lane, urgency) => {
    await using fake = await startFakePushService(new ManualClock());
    await using provider = open();
    await send(provider, message(browser(fake.subscribe()), { lane }));
    expect(fake.messages[0]?.urgency).toBe(urgency);
  });

  it('is refused when a push service would not take it, and nobody is asked; never cut', async () => {
    await using fake = await startFakePushService(new ManualClock());
    await using provider = open();
    const subscription = browser(fake.subscribe());
    const sized = (bytes: number) =>
      message(subscription, { content: create(ContentSchema, { body: 'x'.repeat(bytes) }) });
    await send(provider, sized(0));
    const spare = limits.webPushPayloadBytes - JSON.stringify(fake.messages[0]?.words).length;
    expect((await send(provider, sized(spare))).kind).toBe('sent');
    expect(fake.server.requests[1]?.body).toHaveLength(4_096);
    expect(await send(provider, sized(spare + 1))).toEqual({
      kind: 'permanent',
      reason: expect.stringContaining('3993'),
    });
    expect(fake.server.requests).toHaveLength(2);
  });

  it('is taken back under the same topic', async () => {
    await using fake = await startFakePushService(new ManualClock());
    await using provider = open();
    const sent = { ...message(browser(fake.subscribe())), messageId: '' };
    expect(await provider.clear?.(sent, { signal: calm() })).toMatchObject({ kind: 'sent' });
    expect(fake.messages[0]).toMatchObject({
      topic: sent.notificationId.replaceAll('-', ''),
      words: { type: 'clear', nid: sent.notificationId, aid: sent.attemptId },
    });
  });

  it('is not taken back from Safari, which wants each to show something', async () => {
    await using provider = open();
    const safari = browser(knownSubscription('https://web.push.apple.com'));
    const outcome = await provider.clear?.({ ...message(safari), messageId: '' }, { signal: calm() });
    expect(outcome).toEqual({ kind: 'permanent', reason: expect.stringContaining('Safari') });
  });

  it('is not sent by a subscription that has ended by itself', async () => {
    await using provider = open();
    const nowMs = new ManualClock().now();
    const over = browser({ ...knownSubscription('https://push.example'), expirationTime: nowMs });
    expect(await send(provider, message(over))).toMatchObject({ kind: 'permanent', address: 'gone' });
  });
});

describe('the token that push services see', () => {
  it('is one for many messages, of that service alone, and never outlives a day', async () => {
    const clock = new ManualClock();
    await using one = await startFakePushService(clock);
    await using other = await startFakePushService(clock);
    await using provider = open(clock);
    const tokens = new Set<string>();
    for (let hours = 0; hours < 48; hours += 3) {
      for (const fake of [one, one, other]) {
        expect((await send(provider, message(browser(fake.subscribe())))).kind).toBe('sent');
        tokens.add(`${fake.server.url} ${fake.server.requests.at(-1)?.headers.authorization}`);
      }
      clock.advance(3 * 3_600_000);
    }
    expect(tokens.size).toBeGreaterThan(4);
    expect(tokens.size).toBeLessThan(20);
  });
});

describe('a push service', () => {
  it('that fails is left alone for a while, and the others are not', async () => {
    const clock = new ManualClock();
    await using bad = await startFakePushService(clock);
    await using good = await startFakePushService(clock);
    await using provider = open(clock);
    bad.server.forced = { status: 500 };
    const toBad = browser(bad.subscribe());
    for (let n = 0; n < 10; n++) expect((await send(provider, message(toBad))).kind).toBe('transient');
    expect(bad.server.requests).toHaveLength(limits.breakerFailuresCount);
    expect(await send(provider, message(toBad))).toMatchObject({ retryAfterMs: limits.breakerOpenMs });
    expect((await send(provider, message(browser(good.subscribe())))).kind).toBe('sent');
    bad.server.forced = undefined;
    clock.advance(limits.breakerOpenMs);
    expect((await send(provider, message(toBad))).kind).toBe('sent');
  });

  it('that asks for patience gets it, for all of its browsers and no others', async () => {
    const clock = new ManualClock();
    await using busy = await startFakePushService(clock);
    await using idle = await startFakePushService(clock);
    await using provider = open(clock);
    busy.server.forced = { status: 429, headers: { 'retry-after': '30' } };
    await send(provider, message(browser(busy.subscribe())));
    const outcome = await send(provider, message(browser(busy.subscribe())));
    expect(outcome).toEqual({ kind: 'transient', reason: expect.any(String), retryAfterMs: 30_000 });
    expect(busy.server.requests).toHaveLength(1);
    expect((await send(provider, message(browser(idle.subscribe())))).kind).toBe('sent');
  });

  it.each([404, 410])('that says %i has its subscription deleted', async (status) => {
    await using fake = await startFakePushService(new ManualClock());
    await using provider = open();
    fake.server.forced = { status };
    expect(await send(provider, message(browser(fake.subscribe())))).toMatchObject({ address: 'gone' });
  });

  it.each([301, 302, 307, 308])('that leads elsewhere (%i) is not followed', async (status) => {
    await using fake = await startFakePushService(new ManualClock());
    await using elsewhere = await startFakePushService(new ManualClock());
    await using provider = open();
    fake.server.forced = { status, headers: { location: elsewhere.subscribe().endpoint } };
    const outcome = await send(provider, message(browser(fake.subscribe())));
    expect(outcome).toEqual({ kind: 'permanent', reason: expect.stringContaining('elsewhere') });
    expect(elsewhere.server.requests).toHaveLength(0);
  });

  it('is one of at most so many that are kept, and those in use stay', async () => {
    const clock = new ManualClock();
    await using fake = await startFakePushService(clock);
    await using provider = open(clock);
    const port = new URL(fake.server.url).port;
    const gate = Promise.withResolvers<void>();
    fake.server.gate = gate.promise;
    const first = send(provider, message(browser(fake.subscribe())));
    // Other names of the same machine: each is a push service of its own. They refuse, since their names are not in the token.
    for (let n = 2; n < limits.webPushServicesCount + 10; n++) {
      const away = AbortSignal.abort();
      const sent = message(browser(knownSubscription(`http://127.0.0.${n}:${port}`)));
      expect((await provider.send(sent, { signal: away, attemptId: sent.attemptId })).kind).toBe('transient');
    }
    gate.resolve();
    expect((await first).kind).toBe('sent');
  });
});
