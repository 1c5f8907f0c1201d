// Text messages over Twilio: the vendor's own client takes our fake for Twilio, and our adapter passes its whole table against it.
import { create } from '@bufbuild/protobuf';
import twilio from 'twilio';
import { describe, expect, it } from 'vitest';
import { ContentSchema } from '../../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import type { Clock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { silentLog } from '../../runtime/log.ts';
import { httpProviderContract } from '../http-provider.contract.ts';
import { email, message } from '../message.fixture.ts';
import type { Provider } from '../provider.ts';
import { startFakeTwilio, twilioAccount, twilioRefusal } from './fake-twilio.fixture.ts';
import { twilioKind } from './twilio.ts';
import { twilioAnswers } from './twilio-errors.ts';

const phone = (number = '+15005550009') => ({ kind: 'phone', phone: number }) as const;
const receiptsUrl = 'https://hooks.mesh.example/receipts/twilio?tenant=default';

function open(baseUrl: string, clock: Clock = new ManualClock(), changes = {}): Provider {
  const settings = twilioKind.settings.parse({ ...twilioAccount, baseUrl, ...changes });
  return twilioKind.open({ name: 'twilio', settings, receiptsUrl, clock, ids: systemIds, log: silentLog });
}

httpProviderContract('Twilio', {
  start: startFakeTwilio,
  open,
  address: phone(),
  foreign: email(),
  badAddresses: ['', '15005550009', '+0441234567', '+15005550009\r\nX: y', '+1500&Body=x', '+49 151 123'].map(
    phone,
  ),
  rows: twilioAnswers,
  answer: ({ code, verdict }) => twilioRefusal(verdict === 'throttled' ? 429 : 400, Number(code)),
  secrets: [twilioAccount.authToken, twilioAccount.accountSid, '+15005550001'],
});

describe("Twilio's own client", () => {
  it('takes the fake for Twilio, and hears its refusals', async () => {
    await using fake = await startFakeTwilio();
    const inner = new twilio.RequestClient();
    const httpClient = Object.assign(new twilio.RequestClient(), {
      request: (options: Parameters<typeof inner.request>[0]) =>
        inner.request({ ...options, uri: options.uri.replace('https://api.twilio.com', fake.server.url) }),
    });
    const client = twilio(twilioAccount.accountSid, twilioAccount.authToken, { httpClient });
    const sent = await client.messages.create({
      to: phone().phone,
      from: twilioAccount.from,
      body: 'Grüezi & hello=1',
      validityPeriod: 60,
    });
    expect(sent).toMatchObject({ status: 'queued', sid: fake.messages[0]?.sid });
    expect(fake.messages[0]).toMatchObject({ body: 'Grüezi & hello=1', validityS: 60 });
    const refused = client.messages.create({ to: 'nobody', from: twilioAccount.from, body: 'x' });
    await expect(refused).rejects.toMatchObject({ status: 400, code: 21211 });
  });
});

describe('a text message over Twilio', () => {
  it('carries its text, how long it is worth sending, and our id in the address of its receipts', async () => {
    await using fake = await startFakeTwilio();
    const clock = new ManualClock();
    await using provider = open(fake.server.url, clock);
    const content = create(ContentSchema, { title: 'Code', body: '123456 & no more\r\n+1' });
    const sent = message(phone(), { content, expiresAtMs: clock.now() + 90_500 });
    const outcome = await provider.send(sent, {
      signal: new AbortController().signal,
      attemptId: sent.attemptId,
    });
    expect(outcome).toEqual({ kind: 'sent', messageId: fake.messages[0]?.sid });
    expect(fake.messages[0]).toMatchObject({
      to: phone().phone,
      body: 'Code\n123456 & no more\n+1',
      validityS: 91,
    });
    const callback = new URL(fake.messages[0]!.callback);
    expect(Object.fromEntries(callback.searchParams)).toEqual({ tenant: 'default', attempt: sent.attemptId });
  });

  it('is refused when it is longer than Twilio takes, and nobody is asked', async () => {
    await using fake = await startFakeTwilio();
    await using provider = open(fake.server.url);
    const sent = message(phone(), { content: create(ContentSchema, { body: 'x'.repeat(1_601) }) });
    const outcome = await provider.send(sent, {
      signal: new AbortController().signal,
      attemptId: sent.attemptId,
    });
    expect(outcome).toMatchObject({ kind: 'permanent', reason: expect.stringContaining('1600') });
    expect(outcome).not.toHaveProperty('address');
    expect(fake.server.requests).toHaveLength(0);
  });

  it.each([
    [21610, { kind: 'permanent', address: 'gone' }],
    [21211, { kind: 'permanent', address: 'invalid' }],
    [21614, { kind: 'permanent', address: 'invalid' }],
    [20003, { kind: 'config' }],
    [21611, { kind: 'throttled', retryAfterMs: 60_000 }],
    [21408, { kind: 'transient' }],
    [99999, { kind: 'permanent' }],
  ])('%i is understood', async (code, expected) => {
    await using fake = await startFakeTwilio();
    fake.server.forced = twilioRefusal(400, code);
    await using provider = open(fake.server.url);
    const sent = message(phone());
    const outcome = await provider.send(sent, {
      signal: new AbortController().signal,
      attemptId: sent.attemptId,
    });
    expect(outcome).toMatchObject(expected);
    if (!('address' in expected)) expect(outcome).not.toHaveProperty('address');
  });
});

describe('the settings of Twilio', () => {
  it.each([
    ['no sender', { from: undefined }],
    ['two senders', { messagingServiceSid: `MG${'0'.repeat(32)}` }],
    ['half an API key', { apiKeySid: `SK${'0'.repeat(32)}` }],
    ['another account', { accountSid: 'AC123/../Accounts' }],
    ['a plain connection', { baseUrl: 'http://api.twilio.com' }],
    ['a token with a line break', { authToken: 'a\r\nb' }],
    ['what nobody knows', { colour: 'red' }],
  ])('with %s are refused', (_name, changes) => {
    expect(twilioKind.settings.safeParse({ ...twilioAccount, ...changes }).success).toBe(false);
  });

  it('sign in by an API key when there is one', async () => {
    await using fake = await startFakeTwilio();
    const apiKeySid = `SK${'1'.repeat(32)}`;
    await using provider = open(fake.server.url, new ManualClock(), {
      apiKeySid,
      apiKeySecret: 'key-secret',
    });
    const sent = message(phone());
    await provider.send(sent, { signal: new AbortController().signal, attemptId: sent.attemptId });
    const basic = Buffer.from(`${apiKeySid}:key-secret`).toString('base64');
    expect(fake.server.requests[0]?.headers.authorization).toBe(`Basic ${basic}`);
  });
});
