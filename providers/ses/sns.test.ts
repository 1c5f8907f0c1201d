// Messages of Amazon SNS: sns-validator and our reader believe the same ones; certificates and subscriptions come from Amazon alone.
import https from 'node:https';
import { Readable } from 'node:stream';
import MessageValidator from 'sns-validator';
import { describe, expect, it, vi } from 'vitest';
import { selfSigned } from '../../test/support/self-signed.ts';
import { HttpCaller } from '../http-call.ts';
import { startFakeServer } from '../http-server.fixture.ts';
import { certificateUrl, type SnsOptions, snsCertificate, snsMessage, topicArn } from './fake-sns.fixture.ts';
import { httpsSns, isSnsUrl, SnsReader } from './sns.ts';

const nowMs = 1_800_000_000_000;
const bytes = (message: Record<string, string>) => Buffer.from(JSON.stringify(message));

/** Serves the certificate at its URL, and notes what it is asked for. */
function amazon(): { reader: SnsReader; asked: string[] } {
  const asked: string[] = [];
  const reader = new SnsReader(async (url) => {
    asked.push(url);
    return Buffer.from(snsCertificate);
  });
  return { reader, asked };
}

/** What sns-validator says of it, which fetches certificates by `https.get`. */
async function validated(message: Record<string, string>): Promise<boolean> {
  const answer = Object.assign(Readable.from([Buffer.from(snsCertificate)]), { statusCode: 200 });
  const get = vi.spyOn(https, 'get').mockImplementation(((
    _url: string,
    done: (response: unknown) => void,
  ) => {
    done(answer);
    return answer;
  }) as unknown as typeof https.get);
  try {
    return await new Promise((resolve) => {
      new MessageValidator().validate(JSON.stringify(message), (error) => resolve(error === null));
    });
  } finally {
    get.mockRestore();
  }
}

const believed = async (message: Record<string, string>): Promise<boolean> => {
  try {
    await amazon().reader.read(bytes(message), topicArn, nowMs);
    return true;
  } catch {
    return false;
  }
};

describe('sns-validator and our reader', () => {
  const cases: [string, SnsOptions, boolean][] = [
    ['version 1', { atMs: nowMs, version: '1' }, true],
    ['version 2', { atMs: nowMs, version: '2' }, true],
    ['with a subject', { atMs: nowMs, changes: { Subject: 'Amazon SES Email Event Notification' } }, true],
    ['a subscription', { atMs: nowMs, type: 'SubscriptionConfirmation' }, true],
    ['version 1, by another key', { atMs: nowMs, version: '1', forged: true }, false],
    ['version 2, by another key', { atMs: nowMs, forged: true }, false],
    [
      'a certificate elsewhere',
      { atMs: nowMs, changes: { SigningCertURL: 'https://evil.example/x.pem' } },
      false,
    ],
    [
      'a certificate at a host that looks like it',
      { atMs: nowMs, changes: { SigningCertURL: 'https://sns.eu-west-1.amazonaws.com.evil.example/x.pem' } },
      false,
    ],
    [
      'a certificate over http',
      { atMs: nowMs, changes: { SigningCertURL: certificateUrl.replace('https', 'http') } },
      false,
    ],
    [
      'a certificate that is none',
      { atMs: nowMs, changes: { SigningCertURL: 'https://sns.eu-west-1.amazonaws.com/x.html' } },
      false,
    ],
    ['a version that nobody knows', { atMs: nowMs, changes: { SignatureVersion: '3' } }, false],
  ];

  it.each(cases)('agree on %s', async (_name, options, expected) => {
    const message = snsMessage('{"a":"Grüezi"}', options);
    expect(await validated(message)).toBe(expected);
    expect(await believed(message)).toBe(expected);
  });

  it.each([
    'Message',
    'MessageId',
    'Timestamp',
    'TopicArn',
    'Type',
    'Signature',
    'SignatureVersion',
    'Subject',
  ])('agree that a message is not what was signed when its %s is another', async (name) => {
    const message = snsMessage('{}', { atMs: nowMs, changes: { Subject: 'x' } });
    const other = { ...message, [name]: name === 'SignatureVersion' ? '1' : `AAAA${message[name]}` };
    expect(await validated(other)).toBe(false);
    expect(await believed(other)).toBe(false);
  });

  it('agree that a message without a part is none', async () => {
    for (const name of [
      'Message',
      'MessageId',
      'Timestamp',
      'TopicArn',
      'Type',
      'Signature',
      'SigningCertURL',
    ]) {
      const { [name]: _left, ...rest } = snsMessage('{}', { atMs: nowMs });
      expect(await validated(rest)).toBe(false);
      expect(await believed(rest)).toBe(false);
    }
  });
});

describe('the certificate', () => {
  it('is fetched once, for many messages at once and later', async () => {
    const { reader, asked } = amazon();
    const message = bytes(snsMessage('{}', { atMs: nowMs }));
    await Promise.all(Array.from({ length: 5 }, () => reader.read(message, topicArn, nowMs)));
    await reader.read(message, topicArn, nowMs);
    expect(asked).toEqual([certificateUrl]);
  });

  it('that cannot be had now makes SNS call again, and is asked for anew', async () => {
    let there = false;
    const reader = new SnsReader(async () => {
      if (!there) throw new Error('no route');
      return Buffer.from(snsCertificate);
    });
    const message = bytes(snsMessage('{}', { atMs: nowMs }));
    await expect(reader.read(message, topicArn, nowMs)).rejects.toMatchObject({ reason: 'UNREACHABLE' });
    there = true;
    expect(await reader.read(message, topicArn, nowMs)).toMatchObject({ text: '{}' });
  });

  it('that is none, is of another kind of key, or is no longer valid, is not believed', async () => {
    const message = bytes(snsMessage('{}', { atMs: nowMs }));
    for (const pem of ['<html>', '', selfSigned('ec').cert, selfSigned('rsa').cert]) {
      const reader = new SnsReader(async () => Buffer.from(pem));
      await expect(reader.read(message, topicArn, nowMs)).rejects.toMatchObject({ reason: 'RECEIPT_FORGED' });
    }
    const later = Date.parse('2100-01-01T00:00:00Z');
    const { reader } = amazon();
    const late = bytes(snsMessage('{}', { atMs: later }));
    await expect(reader.read(late, topicArn, later)).rejects.toMatchObject({ reason: 'RECEIPT_FORGED' });
  });

  it('is not even fetched for another topic, or while none is set', async () => {
    const { reader, asked } = amazon();
    const message = bytes(snsMessage('{}', { atMs: nowMs }));
    for (const topic of [undefined, 'arn:aws:sns:eu-west-1:123456789012:other'])
      await expect(reader.read(message, topic, nowMs)).rejects.toMatchObject({ reason: 'RECEIPT_FORGED' });
    expect(asked).toEqual([]);
  });

  it.each([
    ['https://sns.eu-west-1.amazonaws.com/x.pem', true],
    ['https://sns.cn-north-1.amazonaws.com.cn/x.pem', true],
    ['https://sns.eu-west-1.amazonaws.com:8443/x.pem', false],
    ['https://user@sns.eu-west-1.amazonaws.com/x.pem', false],
    ['https://evil.example/?sns.eu-west-1.amazonaws.com', false],
    ['https://sns.eu-west-1.amazonaws.com@evil.example/x.pem', false],
    ['https://s3.eu-west-1.amazonaws.com/evil/x.pem', false],
    ['file:///etc/passwd', false],
    ['', false],
  ])('may stand at %s: %s', (url, expected) => expect(isSnsUrl(url)).toBe(expected));
});

describe('fetching over https', () => {
  const tls = selfSigned();
  const fetchOf = (url: string) =>
    httpsSns(({ lookup: _public, ...options }) => new HttpCaller({ ...options, baseUrl: url, ca: tls.cert }));

  it('brings what is there, by its path and query', async () => {
    await using server = await startFakeServer(({ url }) => ({ status: 200, body: `at ${url}` }), tls);
    expect((await fetchOf(server.url)(`${certificateUrl}?a=b`)).toString()).toMatch(
      /^at \/Simple.*\.pem\?a=b$/,
    );
    expect(server.requests[0]?.method).toBe('GET');
  });

  it.each([
    [404, 'no'],
    [302, ''],
    [200, 'x'.repeat(20_000)],
    [200, 'x'.repeat(200_000)],
  ])('refuses status %i with %s', async (status, body) => {
    await using server = await startFakeServer(() => ({ status, body }), tls);
    await expect(fetchOf(server.url)(certificateUrl)).rejects.toThrow(/an answer of status/);
  });

  it('refuses a server that nobody vouches for', async () => {
    await using server = await startFakeServer(() => ({ status: 200 }), selfSigned());
    await expect(fetchOf(server.url)(certificateUrl)).rejects.toThrow(/config/);
  });
});

describe('a subscription', () => {
  const subscribe = (changes: Record<string, string> = {}) =>
    bytes(
      snsMessage('You have chosen to subscribe', { atMs: nowMs, type: 'SubscriptionConfirmation', changes }),
    );

  it('to the topic is confirmed, at Amazon', async () => {
    const { reader, asked } = amazon();
    expect(await reader.read(subscribe(), topicArn, nowMs)).toBeUndefined();
    expect(asked).toHaveLength(2);
    expect(asked[1]).toContain('Action=ConfirmSubscription');
  });

  it.each([
    ['elsewhere', 'https://evil.example/?Action=ConfirmSubscription'],
    ['inside our own network', 'http://169.254.169.254/latest/meta-data'],
    ['to another action', `https://sns.eu-west-1.amazonaws.com/?Action=DeleteTopic&TopicArn=${topicArn}`],
    [
      'to another topic',
      'https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:other',
    ],
  ])('that leads %s is not, though it is signed', async (_name, SubscribeURL) => {
    const { reader, asked } = amazon();
    await expect(reader.read(subscribe({ SubscribeURL }), topicArn, nowMs)).rejects.toMatchObject({
      reason: 'RECEIPT_FORGED',
    });
    expect(asked).toEqual([certificateUrl]);
  });

  it('that is forged, or of another topic, is not', async () => {
    const { reader, asked } = amazon();
    const type = 'SubscriptionConfirmation';
    for (const message of [
      snsMessage('', { atMs: nowMs, type, forged: true }),
      snsMessage('', { atMs: nowMs, type, changes: { TopicArn: 'arn:aws:sns:eu-west-1:666666666666:evil' } }),
    ])
      await expect(reader.read(bytes(message), topicArn, nowMs)).rejects.toMatchObject({
        reason: 'RECEIPT_FORGED',
      });
    expect(asked.filter((url) => url !== certificateUrl)).toEqual([]);
  });

  it('that ended is not begun anew', async () => {
    const { reader, asked } = amazon();
    const ended = snsMessage('You have unsubscribed', { atMs: nowMs, type: 'UnsubscribeConfirmation' });
    expect(await reader.read(bytes(ended), topicArn, nowMs)).toBeUndefined();
    expect(asked).toEqual([certificateUrl]);
  });
});
