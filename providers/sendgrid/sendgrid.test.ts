// Mail over SendGrid: our adapter passes its whole table against a fake that takes nothing that SendGrid would not.
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { ContentSchema } from '../../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import type { Clock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { silentLog } from '../../runtime/log.ts';
import { httpProviderContract, plainAnswer } from '../http-provider.contract.ts';
import { email, message } from '../message.fixture.ts';
import type { Provider } from '../provider.ts';
import {
  sendgridAccount,
  sendgridEventKey,
  sendgridRefusal,
  startFakeSendgrid,
} from './fake-sendgrid.fixture.ts';
import { sendgridKind } from './sendgrid.ts';
import { sendgridAnswers } from './sendgrid-errors.ts';

const calm = () => new AbortController().signal;

function open(baseUrl: string, clock: Clock = new ManualClock()): Provider {
  const settings = sendgridKind.settings.parse({ ...sendgridAccount, baseUrl });
  return sendgridKind.open({
    name: 'sendgrid',
    settings,
    receiptsUrl: undefined,
    clock,
    ids: systemIds,
    log: silentLog,
  });
}

httpProviderContract('SendGrid', {
  start: startFakeSendgrid,
  open,
  address: email(),
  foreign: { kind: 'phone', phone: '+41441234567' },
  badAddresses: ['', 'root', 'a@b@c', 'Ada <ada@a.example>', 'a@b.example\r\nBcc: c@d.example'].map((text) =>
    email(text),
  ),
  rows: sendgridAnswers,
  answer: (row) => (row.code === undefined ? plainAnswer(row) : sendgridRefusal(400, row.code)),
  harmless: ['cut', 'huge'],
  secrets: [sendgridAccount.apiKey],
});

describe('a mail over SendGrid', () => {
  it('carries both bodies, our headers, and our id among its custom arguments', async () => {
    await using fake = await startFakeSendgrid();
    await using provider = open(fake.server.url);
    const content = create(ContentSchema, { title: 'Grüezi\r\nBcc: eve@evil.example', body: 'One\n\n<two>' });
    const sent = message(email(), { content });
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toEqual({ kind: 'sent', messageId: fake.mails[0]?.id });
    expect(fake.mails[0]).toMatchObject({
      personalizations: [
        { to: [{ email: 'ada@example.org' }], custom_args: { carillon_attempt: sent.attemptId } },
      ],
      from: { email: 'news@mesh.example', name: 'Carillon' },
      subject: 'Grüezi Bcc: eve@evil.example',
      content: [
        { type: 'text/plain', value: 'One\n\n<two>\n' },
        { type: 'text/html', value: expect.stringContaining('<p>&lt;two&gt;</p>') },
      ],
      headers: { 'X-Carillon-Attempt': sent.attemptId },
    });
  });

  it('brings the headers of RFC 8058 when its person can unsubscribe', async () => {
    await using fake = await startFakeSendgrid();
    await using provider = open(fake.server.url);
    const sent = message(email(), { unsubscribeUrl: 'https://hooks.mesh.example/u/abc' });
    await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(fake.mails[0]?.headers).toMatchObject({
      'List-Unsubscribe': '<https://hooks.mesh.example/u/abc>',
      'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
    });
  });

  it('waits until the window of its rate ends', async () => {
    await using fake = await startFakeSendgrid();
    const clock = new ManualClock();
    await using provider = open(fake.server.url, clock);
    fake.server.forced = {
      status: 429,
      headers: { 'x-ratelimit-reset': String(clock.now() / 1000 + 42), 'retry-after': '7' },
    };
    const sent = message(email());
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toMatchObject({ kind: 'throttled', retryAfterMs: 42_000 });
  });

  it.each([
    [400, 'personalizations.0.to.0.email', { kind: 'permanent', address: 'invalid' }],
    [400, 'subject', { kind: 'permanent' }],
    [403, 'from', { kind: 'config' }],
    [413, undefined, { kind: 'permanent' }],
  ])('HTTP %i about %s is understood', async (status, field, expected) => {
    await using fake = await startFakeSendgrid();
    fake.server.forced = sendgridRefusal(status, field);
    await using provider = open(fake.server.url);
    const sent = message(email());
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toMatchObject(expected);
    if (!('address' in expected)) expect(outcome).not.toHaveProperty('address');
  });
});

describe('the settings of SendGrid', () => {
  it.each([
    ['a sender that is none', { from: 'nobody' }],
    ['a key that is none', { eventKey: 'AAAA' }],
    ['a key with a line break', { apiKey: 'a\r\nb' }],
    ['what nobody knows', { colour: 'red' }],
  ])('with %s are refused', (_name, changes) => {
    const good = { ...sendgridAccount, eventKey: sendgridEventKey };
    expect(sendgridKind.settings.safeParse(good).success).toBe(true);
    expect(sendgridKind.settings.safeParse({ ...good, ...changes }).success).toBe(false);
  });
});
