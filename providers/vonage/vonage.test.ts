// Text messages over Vonage: the whole table against a fake that answers HTTP 200 whatever it says.
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { ContentSchema } from '../../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import type { Clock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { silentLog } from '../../runtime/log.ts';
import { httpProviderContract } from '../http-provider.contract.ts';
import { email, message } from '../message.fixture.ts';
import type { Provider } from '../provider.ts';
import { startFakeVonage, vonageAccount, vonageRefusal, vonageSecret } from './fake-vonage.fixture.ts';
import { vonageKind } from './vonage.ts';
import { vonageAnswers } from './vonage-errors.ts';

const phone = (number = '+15005550009') => ({ kind: 'phone', phone: number }) as const;
const calm = () => new AbortController().signal;

function open(baseUrl: string, clock: Clock = new ManualClock(), changes = {}): Provider {
  const settings = vonageKind.settings.parse({ ...vonageAccount, baseUrl, ...changes });
  const receiptsUrl = 'https://hooks.mesh.example/receipts/vonage';
  return vonageKind.open({ name: 'vonage', settings, receiptsUrl, clock, ids: systemIds, log: silentLog });
}

httpProviderContract('Vonage', {
  start: startFakeVonage,
  open,
  address: phone(),
  foreign: email(),
  badAddresses: ['', '15005550009', '+15005550009\r\nX: y', '+1500&text=x'].map(phone),
  rows: vonageAnswers,
  answer: ({ code }) => vonageRefusal(code ?? ''),
  secrets: [vonageAccount.apiSecret, '+15005550001'],
});

describe('a text message over Vonage', () => {
  it('carries its text, how long it is worth sending, and our id', async () => {
    await using fake = await startFakeVonage();
    const clock = new ManualClock();
    await using provider = open(fake.server.url, clock);
    const content = create(ContentSchema, { title: 'Code', body: '123456 & no more' });
    const sent = message(phone(), { content, expiresAtMs: clock.now() + 90_500 });
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toEqual({ kind: 'sent', messageId: fake.messages[0]?.id });
    expect(fake.messages[0]).toMatchObject({
      to: '15005550009',
      from: 'Carillon',
      text: 'Code\n123456 & no more',
      type: 'text',
      ttl: '90500',
      'client-ref': sent.attemptId,
      callback: 'https://hooks.mesh.example/receipts/vonage',
    });
  });

  it.each([
    ['Grüße für 5 €', 'text'],
    ['Zażółć', 'unicode'],
    ['👋', 'unicode'],
  ])('%s goes out as %s, so that no sign is lost', async (body, type) => {
    await using fake = await startFakeVonage();
    await using provider = open(fake.server.url);
    const sent = message(phone(), { content: create(ContentSchema, { body }) });
    await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(fake.messages[0]).toMatchObject({ text: body, type });
  });

  it('is signed where the account has no secret to send', async () => {
    await using fake = await startFakeVonage();
    const signing = { apiSecret: undefined, signatureSecret: vonageSecret, signatureMethod: 'sha256' };
    await using provider = open(fake.server.url, new ManualClock(), signing);
    const sent = message(phone(), { content: create(ContentSchema, { body: 'a=1&b=2' }) });
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome.kind).toBe('sent');
    expect(JSON.stringify(fake.messages[0])).not.toContain(vonageSecret);
  });

  it.each([
    ['all parts are taken', ['0', '0'], { kind: 'sent' }],
    ['a part is not', ['0', '1'], { kind: 'unknown', reason: '1 of 2 parts of the text were taken' }],
    ['none is', ['1', '1'], { kind: 'throttled' }],
    ['the status is none that is known', ['77'], { kind: 'unknown' }],
  ])('of several parts: %s', async (_name, statuses, expected) => {
    await using fake = await startFakeVonage();
    fake.server.forced = vonageRefusal(...statuses);
    await using provider = open(fake.server.url);
    const sent = message(phone());
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toMatchObject(expected);
  });
});

describe('the settings of Vonage', () => {
  it.each([
    ['no secret at all', { apiSecret: undefined }],
    ['a signing secret without its method', { signatureSecret: 'x' }],
    ['a method that nobody knows', { signatureSecret: 'x', signatureMethod: 'rot13' }],
    ['a sender with a +', { from: '+15005550006' }],
    ['what nobody knows', { colour: 'red' }],
  ])('with %s are refused', (_name, changes) => {
    expect(vonageKind.settings.safeParse(vonageAccount).success).toBe(true);
    expect(vonageKind.settings.safeParse({ ...vonageAccount, ...changes }).success).toBe(false);
  });
});
