// Mail over Amazon SES: the vendor's own client takes our fake for SES, signatures and all, and our adapter passes its table against it.
import { SESv2Client, SendEmailCommand } from '@aws-sdk/client-sesv2';
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
import { type FakeSes, sesAccount, sesRefusal, startFakeSes, wrongSignature } from './fake-ses.fixture.ts';
import { sesKind } from './ses.ts';
import { sesAnswers } from './ses-errors.ts';

const calm = () => new AbortController().signal;

function open(baseUrl: string, clock: Clock = new ManualClock(), changes = {}): Provider {
  const settings = sesKind.settings.parse({ ...sesAccount, baseUrl, ...changes });
  return sesKind.open({
    name: 'ses',
    settings,
    receiptsUrl: undefined,
    clock,
    ids: systemIds,
    log: silentLog,
  });
}

/** As the documentation words them. */
const sentences: Record<string, string> = {
  NotVerified:
    'Email address is not verified. The following identities failed the check in region EU-WEST-1: ada@example.org',
  Address: 'Illegal address ada@example.org',
  Daily: 'Daily message quota exceeded.',
};

httpProviderContract('SES', {
  start: startFakeSes,
  open,
  address: email(),
  foreign: { kind: 'phone', phone: '+41441234567' },
  badAddresses: ['', 'root', 'a@b@c', 'a@b.example, c@d.example', 'a@b.example\r\nBcc: c@d.example'].map(
    (text) => email(text),
  ),
  rows: sesAnswers,
  answer: ({ status, code = '' }) => {
    const [type = '', word = ''] = code.split('.');
    return sesRefusal(Number(status), type, sentences[word]);
  },
  secrets: [sesAccount.secretAccessKey, sesAccount.accessKeyId],
});

describe("Amazon's own client", () => {
  const client = (fake: FakeSes, secretAccessKey: string = sesAccount.secretAccessKey) =>
    new SESv2Client({
      region: sesAccount.region,
      endpoint: fake.server.url,
      credentials: { accessKeyId: sesAccount.accessKeyId, secretAccessKey },
      maxAttempts: 1,
    });
  const command = () =>
    new SendEmailCommand({
      FromEmailAddress: 'news@mesh.example',
      Destination: { ToAddresses: ['ada@example.org'] },
      Content: { Simple: { Subject: { Data: 'Grüezi' }, Body: { Text: { Data: 'Text' } } } },
      EmailTags: [{ Name: 'carillon-attempt', Value: '1' }],
    });

  it('takes the fake for SES, and the fake its signature', async () => {
    await using fake = await startFakeSes();
    const ses = client(fake);
    const { MessageId } = await ses.send(command());
    expect(MessageId).toBe(fake.mails[0]?.id);
    expect(fake.taken()).toEqual(['1']);
    expect(fake.server.requests.map(wrongSignature)).toEqual([undefined]);
    ses.destroy();
  });

  it('is refused with another secret, as we are', async () => {
    await using fake = await startFakeSes();
    const ses = client(fake, 'another');
    await expect(ses.send(command())).rejects.toMatchObject({ name: 'SignatureDoesNotMatch' });
    ses.destroy();
    await using provider = open(fake.server.url, new ManualClock(), { secretAccessKey: 'another' });
    const sent = message(email());
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toMatchObject({
      kind: 'config',
      reason: expect.stringContaining('SignatureDoesNotMatch'),
    });
  });

  it.each([
    [400, 'MessageRejected'],
    [400, 'AccountSuspendedException'],
    [429, 'TooManyRequestsException'],
  ])('hears %i %s as we do', async (status, type) => {
    await using fake = await startFakeSes();
    fake.server.forced = sesRefusal(status, type);
    const ses = client(fake);
    await expect(ses.send(command())).rejects.toMatchObject({ name: type });
    ses.destroy();
  });
});

describe('a mail over SES', () => {
  it('carries both bodies, our headers, our id in its tags, and its configuration set', async () => {
    await using fake = await startFakeSes();
    await using provider = open(fake.server.url, new ManualClock(), { configurationSet: 'mesh' });
    const content = create(ContentSchema, { title: 'Grüezi\r\nBcc: eve@evil.example', body: 'One' });
    const sent = message(email(), { content, unsubscribeUrl: 'https://hooks.mesh.example/u/abc' });
    const outcome = await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(outcome).toEqual({ kind: 'sent', messageId: fake.mails[0]?.id });
    expect(fake.mails[0]).toMatchObject({
      FromEmailAddress: '"Carillon" <news@mesh.example>',
      Destination: { ToAddresses: ['ada@example.org'] },
      Content: {
        Simple: {
          Subject: { Data: 'Grüezi Bcc: eve@evil.example', Charset: 'UTF-8' },
          Body: { Text: { Data: 'One\n' }, Html: { Data: expect.stringContaining('<p>One</p>') } },
          Headers: expect.arrayContaining([
            { Name: 'List-Unsubscribe', Value: '<https://hooks.mesh.example/u/abc>' },
            { Name: 'List-Unsubscribe-Post', Value: 'List-Unsubscribe=One-Click' },
          ]),
        },
      },
      EmailTags: [{ Name: 'carillon-attempt', Value: sent.attemptId }],
      ConfigurationSetName: 'mesh',
    });
  });

  it('has no headers of RFC 8058 when there is nothing to unsubscribe from', async () => {
    await using fake = await startFakeSes();
    await using provider = open(fake.server.url);
    const sent = message(email());
    await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(JSON.stringify(fake.mails[0])).not.toContain('List-Unsubscribe');
  });

  it.each([
    ['news@mesh.example', 'news@mesh.example'],
    ['Zoë <news@mesh.example>', '=?UTF-8?B?Wm/Dqw==?= <news@mesh.example>'],
    ['A "B\\" <news@mesh.example>', '"A B" <news@mesh.example>'],
  ])('from %s has a sender in ASCII', async (from, expected) => {
    await using fake = await startFakeSes();
    await using provider = open(fake.server.url, new ManualClock(), { from });
    const sent = message(email());
    await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    expect(fake.mails[0]?.FromEmailAddress).toBe(expected);
  });

  it('is signed with the token of credentials that end, and behind a path', async () => {
    await using fake = await startFakeSes();
    await using provider = open(`${fake.server.url}/a b`, new ManualClock(), { sessionToken: 'token/+=' });
    const sent = message(email());
    await provider.send(sent, { signal: calm(), attemptId: sent.attemptId });
    const [request] = fake.server.requests;
    expect(request?.headers).toMatchObject({ 'x-amz-security-token': 'token/+=' });
    expect(request?.headers.authorization).toContain('x-amz-security-token');
    expect(request?.url).toBe('/a%20b/v2/email/outbound-emails');
    expect(wrongSignature(request!)).toBeUndefined();
  });
});

describe('the settings of SES', () => {
  it('know where each region is', () => {
    expect(sesKind.settings.parse(sesAccount).baseUrl).toBe('https://email.eu-west-1.amazonaws.com');
  });

  it.each([
    ['a region that is a host', { region: 'evil.example/' }],
    ['a sender that is none', { from: 'nobody' }],
    ['a topic that is none', { topicArn: 'arn:aws:sqs:eu-west-1:123456789012:mesh' }],
    ['a plain connection', { baseUrl: 'http://email.eu-west-1.amazonaws.com' }],
    ['what nobody knows', { colour: 'red' }],
  ])('with %s are refused', (_name, changes) => {
    expect(sesKind.settings.safeParse({ ...sesAccount, ...changes }).success).toBe(false);
  });
});
