// A webhook of one's own, for every channel, against a receiver that checks signatures without our code.
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { Channel, ContentSchema, Lane } from '../../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import type { Clock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { limits } from '../../runtime/limits.ts';
import { silentLog } from '../../runtime/log.ts';
import { httpProviderContract, plainAnswer } from '../http-provider.contract.ts';
import { email, message } from '../message.fixture.ts';
import type { Provider } from '../provider.ts';
import { receiptsContract } from '../receipts.contract.ts';
import { startFakeWebhook, webhookCall, webhookSecrets } from './fake-webhook.fixture.ts';
import { webhookKind } from './webhook.ts';
import { webhookAnswers } from './webhook-errors.ts';
import { readWebhookReceipts } from './webhook-receipts.ts';

const calm = () => new AbortController().signal;
const phone = (number = '+41441234567') => ({ kind: 'phone', phone: number }) as const;
const device = (token = 'token-1') =>
  ({ kind: 'device', deviceId: 'phone-1', platform: Platform.IOS, token, registeredAtMs: 0 }) as const;

function open(url: string, clock: Clock = new ManualClock(), channel: Channel = Channel.SMS): Provider {
  const kind = webhookKind(channel);
  const settings = kind.settings.parse({ url, secrets: webhookSecrets.join(' '), allowPrivate: 'true' });
  return kind.open({
    name: 'webhook',
    settings,
    receiptsUrl: undefined,
    clock,
    ids: systemIds,
    log: silentLog,
  });
}

httpProviderContract('a webhook', {
  start: () => startFakeWebhook(),
  open,
  address: phone(),
  foreign: email(),
  badAddresses: ['', '0441234567', '+41441234567\r\nX: y'].map(phone),
  rows: webhookAnswers,
  answer: plainAnswer,
  harmless: ['cut', 'huge', 'garbage'],
  secrets: [...webhookSecrets],
});

describe('a message over a webhook', () => {
  it.each([
    [Channel.SMS, phone(), { phone: '+41441234567' }],
    [Channel.EMAIL, email(), { email: 'ada@example.org' }],
    [Channel.PUSH, device(), { device_id: 'phone-1', platform: 'ios', token: 'token-1' }],
  ])('of channel %i says all that there is to say', async (channel, address, to) => {
    await using fake = await startFakeWebhook();
    const clock = new ManualClock();
    await using provider = open(`${fake.server.url}/hook`, clock, channel);
    const content = create(ContentSchema, {
      title: 'Grüezi',
      body: 'One\r\ntwo "three"',
      data: { order: '7' },
      actions: [{ label: 'Track', url: 'https://shop.example/' }],
    });
    const sent = message(address, {
      content,
      lane: Lane.CRITICAL,
      unsubscribeUrl: 'https://hooks.example/u/1',
    });
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toEqual({ kind: 'sent', messageId: 'gateway-1' });
    expect(fake.messages.get(sent.attemptId)).toEqual({
      type: 'message',
      attempt_id: sent.attemptId,
      notification_id: sent.notificationId,
      tenant: 'default',
      user_id: 'ada',
      channel: ['', '', 'push', 'email', 'sms'][channel],
      category: 'default',
      lane: 'critical',
      to,
      content: {
        title: 'Grüezi',
        body: 'One\r\ntwo "three"',
        data: { order: '7' },
        image_url: '',
        actions: [{ label: 'Track', url: 'https://shop.example/' }],
      },
      expires_at: new Date(sent.expiresAtMs).toISOString(),
      unsubscribe_url: 'https://hooks.example/u/1',
    });
    expect(fake.server.requests[0]?.url).toBe('/hook');
    expect(fake.server.requests[0]?.headers['webhook-timestamp']).toBe(String(clock.now() / 1000));
  });

  it('is known by our own id where the receiver gives none', async () => {
    await using fake = await startFakeWebhook();
    await using provider = open(fake.server.url);
    for (const body of ['', '{}', '{"message_id":7}', '{"message_id":"two words"}']) {
      fake.server.forced = { status: 202, body };
      const sent = message(phone());
      const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
      expect(outcome).toEqual({ kind: 'sent', messageId: sent.attemptId });
    }
  });

  it('is believed by receivers that know the old secret, and by those that know the new one', async () => {
    for (const secret of webhookSecrets) {
      await using fake = await startFakeWebhook(secret);
      await using provider = open(fake.server.url);
      const sent = message(phone());
      expect((await provider.send(sent, { signal: calm(), attemptId: sent.attemptId })).kind).toBe('sent');
    }
  });

  it('does not follow a redirect', async () => {
    await using fake = await startFakeWebhook();
    await using elsewhere = await startFakeWebhook();
    fake.server.forced = { status: 307, headers: { location: `${elsewhere.server.url}/hook` } };
    await using provider = open(fake.server.url);
    const sent = message(phone());
    expect((await provider.send(sent, { signal: calm(), attemptId: sent.attemptId })).kind).toBe('config');
    expect(elsewhere.server.requests).toHaveLength(0);
  });

  it('does not go to a name of this machine unless that is allowed', async () => {
    const kind = webhookKind(Channel.SMS);
    const settings = kind.settings.parse({ url: 'https://localhost', secrets: [...webhookSecrets] });
    const clock = new ManualClock();
    const options = { name: 'webhook', receiptsUrl: undefined, clock, ids: systemIds, log: silentLog };
    await using provider = kind.open({ ...options, settings });
    const sent = message(phone());
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toMatchObject({ kind: 'config', reason: expect.stringContaining('may not be called') });
  });
});

describe('the settings of a webhook', () => {
  const good = { url: 'https://hooks.example/carillon', secrets: webhookSecrets[0] };
  const { settings } = webhookKind(Channel.SMS);

  it('take secrets as a text or as a list', () => {
    for (const secrets of [webhookSecrets.join(', '), [...webhookSecrets]])
      expect(settings.parse({ ...good, secrets })).toEqual({
        ...good,
        secrets: [...webhookSecrets],
        allowPrivate: false,
      });
  });

  it.each([
    ['no secret', { secrets: '' }],
    ['a secret that is none', { secrets: 'hunter2' }],
    ['five secrets', { secrets: Array(5).fill(webhookSecrets[0]).join(' ') }],
    ['a plain connection', { url: 'http://hooks.example/' }],
    ['loopback', { url: 'http://127.0.0.1:8080/' }],
    ['an address of its own network', { url: 'https://192.168.1.10/' }],
    ['the metadata service', { url: 'https://169.254.169.254/' }],
    ['credentials in the URL', { url: 'https://user:password@hooks.example/' }],
    ['something else than truth', { allowPrivate: 'maybe' }],
    ['what nobody knows', { colour: 'red' }],
  ])('with %s are refused', (_name, changes) => {
    expect(settings.safeParse({ ...good, ...changes }).success).toBe(false);
  });
});

const attemptId = '019a9f7e-0000-7000-8000-000000000001';
const nowMs = 1_800_000_000_000;
const said = (...receipts: Record<string, unknown>[]) =>
  Buffer.from(JSON.stringify({ type: 'receipts', receipts }));

receiptsContract('a webhook', {
  read: (request, at) => readWebhookReceipts(request, { secrets: webhookSecrets }, at),
  nowMs,
  body: said(
    { kind: 'delivered', attempt_id: attemptId, message_id: 'gateway-1', at: '2027-01-15T07:59:00Z' },
    { kind: 'bounced', attempt_id: attemptId, permanent: true, reason: 'no\nsuch mailbox' },
    { kind: 'inbound', address: '+41441234567', reason: 'STOP' },
  ),
  expected: [
    {
      kind: 'delivered',
      attemptId,
      messageId: 'gateway-1',
      atMs: Date.parse('2027-01-15T07:59:00Z'),
      permanent: false,
    },
    { kind: 'bounced', attemptId, permanent: true, reason: 'no such mailbox' },
    { kind: 'inbound', address: '+41441234567', reason: 'STOP' },
  ],
  sign: (body, { atMs, forged }) =>
    webhookCall(body, atMs, forged ? `whsec_${Buffer.alloc(32, 'x').toString('base64')}` : webhookSecrets[1]),
  signatureHeader: 'webhook-signature',
  windowMs: limits.receiptWindowMs,
});

it('our own messages cannot be played back to us as receipts', async () => {
  await using fake = await startFakeWebhook();
  const clock = new ManualClock(nowMs);
  await using provider = open(fake.server.url, clock);
  const sent = message(phone());
  await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
  const { headers, body } = fake.server.requests[0]!;
  const request = { url: 'https://hooks.mesh.example/', headers, body };
  expect(() => readWebhookReceipts(request, { secrets: webhookSecrets }, nowMs)).toThrow(/list of receipts/);
});
