// Text messages over Termii, against a fake with its long numbers and its sentences; and what it calls back with.
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { ContentSchema, Lane } from '../../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import type { Clock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { silentLog } from '../../runtime/log.ts';
import { type HttpFake, httpProviderContract, plainAnswer } from '../http-provider.contract.ts';
import { email, message } from '../message.fixture.ts';
import type { Provider } from '../provider.ts';
import { receiptsContract } from '../receipts.contract.ts';
import { startFakeTermii, termiiAccount, termiiCall, termiiRefusal } from './fake-termii.fixture.ts';
import { termiiKind } from './termii.ts';
import { termiiAnswers, termiiSentences } from './termii-errors.ts';
import { readTermiiReceipts } from './termii-receipts.ts';

const phone = (number = '+2347069549231') => ({ kind: 'phone', phone: number }) as const;
const calm = () => new AbortController().signal;
const nowMs = 1_800_000_000_000;

function open(baseUrl: string, clock: Clock = new ManualClock(), changes = {}): Provider {
  const settings = termiiKind.settings.parse({ ...termiiAccount, baseUrl, ...changes });
  return termiiKind.open({
    name: 'termii',
    settings,
    receiptsUrl: undefined,
    clock,
    ids: systemIds,
    log: silentLog,
  });
}

/** Termii carries no id of ours: its ids lead back to it, when they are the ones that it gave. */
const attempts = new Map<string, string>();

async function start(): Promise<HttpFake> {
  const fake = await startFakeTermii();
  return {
    server: fake.server,
    taken: () => fake.messages.map(({ id }) => attempts.get(id) ?? 'an id that nobody knows'),
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

/** As the documentation words it. */
const sentences: Record<string, string> = {
  balance: 'Insufficient balance',
  inactive: 'Your account is not active',
  route: 'You are not set up on this route',
  daily_limit: 'Your device has reached the daily limit',
  sender: 'Invalid Sender Id',
  device: 'Device not found',
  number: 'Invalid phone number 2347069549231',
};

httpProviderContract('Termii', {
  start,
  open,
  address: phone(),
  foreign: email(),
  badAddresses: ['', '2347069549231', '+2347069549231"}', '+234\r\n7069549231'].map(phone),
  rows: termiiAnswers,
  answer: (row) =>
    row.code === undefined ? plainAnswer(row) : termiiRefusal(400, sentences[row.code] ?? ''),
  secrets: [termiiAccount.apiKey, '2347069549231'],
  follow: (sent, outcome) => {
    if (outcome.kind === 'sent') attempts.set(outcome.messageId, sent.attemptId);
  },
});

describe('a text message over Termii', () => {
  it.each([
    ['by_lane', Lane.CRITICAL, 'dnd'],
    ['by_lane', Lane.NORMAL, 'dnd'],
    ['by_lane', Lane.BULK, 'generic'],
    ['whatsapp', Lane.CRITICAL, 'whatsapp'],
    ['generic', Lane.CRITICAL, 'generic'],
  ])('with the route %s goes from lane %i over %s', async (route, lane, channel) => {
    await using fake = await startFakeTermii();
    await using provider = open(fake.server.url, new ManualClock(), { route });
    const sent = message(phone(), { lane, content: create(ContentSchema, { body: '"1234" 👋' }) });
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toEqual({ kind: 'sent', messageId: fake.messages[0]?.id });
    expect(fake.messages[0]).toMatchObject({ to: '2347069549231', sms: '"1234" 👋', channel });
  });

  it('has its id kept to the last digit, whichever way Termii writes it', async () => {
    await using fake = await startFakeTermii();
    await using provider = open(fake.server.url);
    for (const body of [
      '{"code":"ok","message_id":9122821270554876574}',
      '{"code":"ok","message_id":"9122821270554876574"}',
      '{"code":"ok","message_id":9122821270554877000,"message_id_str":"9122821270554876574"}',
    ]) {
      fake.server.forced = { status: 200, body };
      const sent = message(phone());
      const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
      expect(outcome).toEqual({ kind: 'sent', messageId: '9122821270554876574' });
    }
  });

  it('has every sentence in the table, and every one of the table is known', () => {
    const codes = termiiAnswers.flatMap(({ code }) => (code === undefined ? [] : [code]));
    expect(termiiSentences.map(({ code }) => code)).toEqual(codes);
    expect(Object.keys(sentences)).toEqual(codes);
  });
});

const delivered = {
  type: 'outbound',
  message_id: '5964465985113503103',
  receiver: '2347069549231',
  sender: 'N-Alert',
  message: 'Your Termii confirmation code is 234u53.',
  sent_at: '2026-12-16 11:34:36',
  cost: '3.9',
  status: 'DELIVERED | Message delivered to handset',
  channel: 'Number Api',
};
const read = (body: unknown, options: Parameters<typeof termiiCall>[1] = {}, settings = {}) =>
  readTermiiReceipts(
    termiiCall(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), options),
    { ...termiiAccount, ...settings },
    nowMs,
  );

receiptsContract('Termii', {
  read: (request, at) => readTermiiReceipts(request, termiiAccount, at),
  nowMs,
  body: Buffer.from(JSON.stringify(delivered)),
  expected: [
    { kind: 'delivered', messageId: '5964465985113503103', address: '+2347069549231', attemptId: '' },
  ],
  sign: (body, { forged }) => termiiCall(body, forged ? { key: 'another' } : {}),
  signatureHeader: 'x-termii-signature',
  windowMs: undefined,
});

describe('what Termii says of a message', () => {
  it.each([
    ['DELIVERED | Message delivered to handset', 'delivered'],
    ['Delivered', 'delivered'],
    ['Message Sent', undefined],
    ['DND Active on Phone Number', 'failed'],
    ['Message Failed', 'failed'],
    ['Rejected', 'failed'],
    ['Expired', 'failed'],
    ['Something new', undefined],
  ])('%s', (status, kind) => {
    const receipts = read({ ...delivered, status });
    expect(receipts).toMatchObject(kind === undefined ? [] : [{ kind, permanent: false }]);
  });

  it('is signed in hexadecimal or base64, by the API key or a secret of its own', () => {
    expect(read(delivered, { encoding: 'base64' })).toHaveLength(1);
    expect(read(delivered, { key: 'own-secret' }, { webhookSecret: 'own-secret' })).toHaveLength(1);
    expect(() => read(delivered, {}, { webhookSecret: 'own-secret' })).toThrow(/signature/);
  });

  it('keeps every digit of the id', () => {
    const text = JSON.stringify(delivered).replace('"5964465985113503103"', '5964465985113503103');
    expect(read(text)[0]?.messageId).toBe('5964465985113503103');
  });

  it('is what people answer, such as STOP', () => {
    const inbound = {
      type: 'inbound',
      id: '8248611476370959318',
      message_id: '3905204342778053556',
      receiver: '12022214836',
      sender: '2347069549231',
      message: 'STOP',
      received_at: '2026-12-16T10:51:03.000000Z',
      status: 'Received',
      channel: null,
    };
    expect(read(inbound)).toMatchObject([
      {
        kind: 'inbound',
        address: '+2347069549231',
        reason: 'STOP',
        atMs: Date.parse('2026-12-16T10:51:03Z'),
      },
    ]);
  });
});
