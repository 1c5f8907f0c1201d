// Push over FCM: our adapter passes its whole table against a fake that checks signatures, tokens and schema as Google does.
import { create } from '@bufbuild/protobuf';
import { afterAll, describe, expect, it } from 'vitest';
import { Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { ContentSchema, Lane } from '../../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import type { Clock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { limits } from '../../runtime/limits.ts';
import { silentLog } from '../../runtime/log.ts';
import { until } from '../../test/support/until.ts';
import { device } from '../device.fixture.ts';
import { httpProviderContract } from '../http-provider.contract.ts';
import { email, message } from '../message.fixture.ts';
import type { Message, Outcome, Provider } from '../provider.ts';
import {
  fcmAccount,
  fcmRefusal,
  malformedToken,
  startFakeFcm,
  startFakeTokens,
  unregisteredToken,
} from './fake-fcm.fixture.ts';
import { fcmKind } from './fcm.ts';
import { fcmAnswers } from './fcm-errors.ts';

const tokens = await startFakeTokens(new ManualClock());
afterAll(() => tokens[Symbol.asyncDispose]());

const phone = device('dQw4w9:APA91b-one');
const calm = () => new AbortController().signal;

function open(baseUrl: string, clock: Clock = new ManualClock(), changes = {}): Provider {
  const settings = fcmKind.settings.parse({
    serviceAccount: JSON.stringify(fcmAccount),
    baseUrl,
    tokenUrl: `${tokens.server.url}/token`,
    ...changes,
  });
  return fcmKind.open({
    name: 'fcm',
    settings,
    receiptsUrl: undefined,
    clock,
    ids: systemIds,
    log: silentLog,
  });
}

const send = (provider: Provider, sent: Message, signal = calm()): Promise<Outcome> =>
  provider.send(sent, { signal, attemptId: sent.attemptId });

httpProviderContract('FCM', {
  start: () => startFakeFcm(tokens),
  open,
  address: phone,
  foreign: email(),
  badAddresses: ['', 'with space', 'a\r\nb'].map((token) => device(token)),
  rows: fcmAnswers,
  answer({ status, code = '', verdict }) {
    const [fcm, detail] = code.split('.');
    const wait: Record<string, string> = detail === 'retry-after' ? { 'retry-after': '60' } : {};
    const said = fcmRefusal(Number(status), fcm || verdict, {
      ...(fcm && detail !== 'BadRequest' && { fcm }),
      ...(detail === 'BadRequest' && { field: 'message.data[0].value' }),
      ...(detail === 'device' && { device: true }),
      ...(detail === 'too-big' && { message: 'Message is too large. The maximum is 4K (4096 bytes).' }),
    });
    return { ...said, headers: { ...said.headers, ...wait } };
  },
  secrets: [fcmAccount.client_email, fcmAccount.private_key.slice(40, 80), 'ya29.'],
});

describe('a token is deleted', () => {
  const address = (outcome: Outcome) => (outcome.kind === 'permanent' ? outcome.address : undefined);

  it('when its app is unregistered, or it never was one', async () => {
    await using fake = await startFakeFcm(tokens);
    await using provider = open(fake.server.url);
    expect(address(await send(provider, message(device(unregisteredToken))))).toBe('gone');
    expect(address(await send(provider, message(device(malformedToken))))).toBe('invalid');
  });

  it.each([
    ['a field is refused', fcmRefusal(400, 'INVALID_ARGUMENT', { field: 'message.android.ttl' })],
    [
      'a field is refused, with FcmError beside it',
      fcmRefusal(400, 'INVALID_ARGUMENT', { fcm: 'INVALID_ARGUMENT', field: 'message.token' }),
    ],
    [
      'the message is too big, with FcmError beside it',
      fcmRefusal(400, 'INVALID_ARGUMENT', { fcm: 'INVALID_ARGUMENT', message: 'Android message is too big' }),
    ],
    ['nothing is said', fcmRefusal(400, 'INVALID_ARGUMENT')],
    ['the project does not exist', fcmRefusal(404, 'NOT_FOUND')],
    ['it is of another project', fcmRefusal(403, 'PERMISSION_DENIED', { fcm: 'SENDER_ID_MISMATCH' })],
    ['a proxy answers', { status: 404, body: '<html>' }],
  ])('not because %s', async (_why, answer) => {
    await using fake = await startFakeFcm(tokens);
    await using provider = open(fake.server.url);
    fake.server.forced = answer;
    const outcome = await send(provider, message(phone));
    expect(['permanent', 'config']).toContain(outcome.kind);
    expect(outcome).not.toHaveProperty('address');
  });
});

describe('a message over FCM', () => {
  const content = create(ContentSchema, {
    title: 'Your order',
    body: 'It is on its way.',
    data: { from: 'shop', order: '42' },
    imageUrl: 'https://cdn.example/box.png',
    actions: [{ label: 'Track', url: 'https://shop.example/42' }],
  });

  it('is shown by Android, replaces itself, and carries our ids and the sender’s data', async () => {
    await using fake = await startFakeFcm(tokens);
    const clock = new ManualClock();
    await using provider = open(fake.server.url, clock);
    const sent = message(phone, { content, category: 'orders', expiresAtMs: clock.now() + 90_500 });
    expect(await send(provider, sent)).toEqual({ kind: 'sent', messageId: expect.stringMatching(/^0:/) });
    expect(fake.messages[0]).toEqual({
      token: phone.token,
      notification: { title: 'Your order', body: 'It is on its way.', image: content.imageUrl },
      data: {
        type: 'notification',
        nid: sent.notificationId,
        aid: sent.attemptId,
        category: 'orders',
        data: '{"from":"shop","order":"42"}',
        actions: '[{"label":"Track","url":"https://shop.example/42"}]',
        image: content.imageUrl,
      },
      android: {
        collapse_key: sent.notificationId,
        priority: 'HIGH',
        ttl: '90s',
        notification: { tag: sent.notificationId },
      },
    });
  });

  it('is left to the app where the settings say so', async () => {
    await using fake = await startFakeFcm(tokens);
    await using provider = open(fake.server.url, new ManualClock(), { display: 'app' });
    await send(provider, message(phone, { content }));
    expect(fake.messages[0]).not.toHaveProperty('notification');
    expect(fake.messages[0]?.android).not.toHaveProperty('notification');
    expect(fake.messages[0]?.data).toMatchObject({ title: 'Your order', body: 'It is on its way.' });
  });

  it('goes to iOS in Apple’s words', async () => {
    await using fake = await startFakeFcm(tokens);
    const clock = new ManualClock();
    await using provider = open(fake.server.url, clock, { platforms: 'both' });
    const sent = message(device('ios:APA91b', Platform.IOS), { content, expiresAtMs: clock.now() + 60_000 });
    expect(await send(provider, sent)).toMatchObject({ kind: 'sent' });
    expect(fake.messages[0]).toMatchObject({
      apns: {
        headers: {
          'apns-collapse-id': sent.notificationId,
          'apns-push-type': 'alert',
          'apns-priority': '10',
        },
        payload: { aps: { alert: { title: 'Your order' } }, nid: sent.notificationId, aid: sent.attemptId },
        fcm_options: { image: content.imageUrl },
      },
    });
    expect(fake.messages[0]).not.toHaveProperty('android');
  });

  it.each([
    [Lane.CRITICAL, 'HIGH'],
    [Lane.NORMAL, 'HIGH'],
    [Lane.BULK, 'NORMAL'],
  ])('of lane %i has priority %s', async (lane, priority) => {
    await using fake = await startFakeFcm(tokens);
    await using provider = open(fake.server.url);
    await send(provider, message(phone, { lane }));
    expect(fake.messages[0]?.android?.priority).toBe(priority);
  });

  it('lives no longer than it is worth delivering, and four weeks at most', async () => {
    await using fake = await startFakeFcm(tokens);
    const clock = new ManualClock();
    await using provider = open(fake.server.url, clock);
    for (const ms of [-5, 1_999, 40 * 86_400_000])
      await send(provider, message(phone, { expiresAtMs: clock.now() + ms }));
    expect(fake.messages.map(({ android }) => android?.ttl)).toEqual(['0s', '1s', '2419200s']);
  });

  it('is refused when it has more than 4,096 bytes, and nobody is asked; never cut', async () => {
    await using fake = await startFakeFcm(tokens);
    await using provider = open(fake.server.url, new ManualClock(), { platforms: 'both' });
    const body = 'é'.repeat(2_000);
    for (const platform of [Platform.ANDROID, Platform.IOS]) {
      const fits = message(device('x:y', platform), {
        content: create(ContentSchema, { body: body.slice(200) }),
      });
      expect(await send(provider, fits)).toMatchObject({ kind: 'sent' });
      const large = message(device('x:y', platform), { content: create(ContentSchema, { body }) });
      const outcome = await send(provider, large);
      expect(outcome).toMatchObject({ kind: 'permanent', reason: expect.stringContaining('4096') });
      expect(outcome).not.toHaveProperty('address');
    }
    expect(fake.server.requests).toHaveLength(2);
  });

  it('is taken back by one that nobody sees, under the same key', async () => {
    await using fake = await startFakeFcm(tokens);
    await using provider = open(fake.server.url, new ManualClock(), { platforms: 'both' });
    for (const platform of [Platform.ANDROID, Platform.IOS]) {
      const sent = { ...message(device('x:y', platform)), messageId: '' };
      expect(await provider.clear?.(sent, { signal: calm() })).toMatchObject({ kind: 'sent' });
      const words = { type: 'clear', nid: sent.notificationId, aid: sent.attemptId };
      expect(fake.messages.at(-1)).toEqual(
        platform === Platform.ANDROID
          ? {
              token: 'x:y',
              data: words,
              android: { collapse_key: sent.notificationId, priority: 'NORMAL', ttl: '604800s' },
            }
          : {
              token: 'x:y',
              apns: {
                headers: expect.objectContaining({
                  'apns-push-type': 'background',
                  'apns-priority': '5',
                  'apns-collapse-id': sent.notificationId,
                }),
                payload: { aps: { 'content-available': 1 }, ...words },
              },
            },
      );
    }
  });
});

describe('the access token', () => {
  it('is fetched once for all, and renewed ahead of its end', async () => {
    const clock = new ManualClock();
    await using own = await startFakeTokens(clock);
    await using fake = await startFakeFcm(own);
    await using provider = open(fake.server.url, clock, { tokenUrl: `${own.server.url}/token` });
    const sendOne = () => send(provider, message(phone));
    const outcomes = await Promise.all(Array.from({ length: 20 }, sendOne));
    expect(outcomes.map(({ kind }) => kind)).toEqual(outcomes.map(() => 'sent'));
    expect(own.server.requests).toHaveLength(1);
    expect(fake.server.connections).toBe(1);
    clock.advance(3_600_000 - limits.fcmTokenAheadMs);
    const token = () => fake.server.requests.at(-1)?.headers.authorization;
    const first = token();
    expect(await sendOne()).toMatchObject({ kind: 'sent' });
    expect(token()).toBe(first);
    await until('new token', async () => {
      expect(await sendOne()).toMatchObject({ kind: 'sent' });
      return token() === first ? undefined : true;
    });
    clock.advance(limits.fcmTokenAheadMs);
    expect(await sendOne()).toMatchObject({ kind: 'sent' });
    expect(own.server.requests).toHaveLength(2);
  });

  it('that FCM refuses is replaced for the next call', async () => {
    const clock = new ManualClock();
    await using own = await startFakeTokens(clock);
    await using fake = await startFakeFcm(own);
    await using provider = open(fake.server.url, clock, { tokenUrl: `${own.server.url}/token` });
    await send(provider, message(phone));
    own.revoke();
    expect((await send(provider, message(phone))).kind).toBe('config');
    expect((await send(provider, message(phone))).kind).toBe('sent');
    expect(own.server.requests).toHaveLength(2);
  });

  it.each([
    ['refuses the key', { forced: { status: 400, body: { error: 'invalid_grant' } } }, 'config'],
    ['does not know the account', { forced: { status: 401, body: { error: 'invalid_client' } } }, 'config'],
    ['asks for patience', { forced: { status: 429, headers: { 'retry-after': '3' } } }, 'throttled'],
    ['fails', { forced: { status: 503 } }, 'down'],
    ['has no answer in time', { forced: { status: 504 } }, 'down'],
    ['talks nonsense', { fault: 'garbage' }, 'down'],
    ['hangs up', { fault: 'drop' }, 'down'],
    [
      'gives a token with a line break',
      { forced: { status: 200, body: { access_token: 'a\r\nb', expires_in: 60 } } },
      'down',
    ],
  ] as const)('cannot be had when Google %s: nothing is sent', async (_what, state, kind) => {
    await using own = await startFakeTokens(new ManualClock());
    await using fake = await startFakeFcm(own);
    await using provider = open(fake.server.url, new ManualClock(), { tokenUrl: `${own.server.url}/token` });
    Object.assign(own.server, state);
    const outcome = await send(provider, message(phone));
    expect(outcome.kind).toBe(kind);
    expect(JSON.stringify(outcome)).not.toMatch(/carillon-tests|PRIVATE/);
    expect(fake.server.requests).toHaveLength(0);
  });

  it('is waited for no longer than it may take', async () => {
    const clock = new ManualClock();
    await using own = await startFakeTokens(clock);
    await using fake = await startFakeFcm(own);
    await using provider = open(fake.server.url, clock, { tokenUrl: `${own.server.url}/token` });
    own.server.fault = 'hang';
    own.server.onRequest = () => clock.advance(limits.fcmTokenMs);
    expect((await send(provider, message(phone))).kind).toBe('down');
  });
});

describe('the settings of FCM', () => {
  it.each([
    ['no account', { serviceAccount: '{}' }],
    ['what is not JSON', { serviceAccount: 'service.json' }],
    ['a key that is none', { serviceAccount: JSON.stringify({ ...fcmAccount, private_key: 'x' }) }],
    [
      'a token endpoint without TLS',
      { serviceAccount: JSON.stringify({ ...fcmAccount, token_uri: 'http://google.example/token' }) },
    ],
    [
      'a project that would be a path',
      { serviceAccount: JSON.stringify({ ...fcmAccount, project_id: '../x' }) },
    ],
    ['a plain connection', { baseUrl: 'http://fcm.example' }],
    ['what nobody knows', { colour: 'red' }],
  ])('with %s are refused, and the key is not told', (_what, changes) => {
    const parsed = fcmKind.settings.safeParse({ serviceAccount: JSON.stringify(fcmAccount), ...changes });
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error)).not.toContain('PRIVATE');
  });

  it('leave iOS to APNs unless they say otherwise', async () => {
    await using android = open('https://localhost');
    await using both = open('https://localhost', new ManualClock(), { platforms: 'both' });
    const ios = device('x', Platform.IOS);
    expect([android.serves(phone), android.serves(ios), both.serves(ios)]).toEqual([true, false, true]);
    expect(both.serves(device('x', Platform.WEB))).toBe(false);
  });
});
