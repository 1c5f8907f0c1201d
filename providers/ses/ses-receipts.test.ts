// What Amazon SES says of a mail: nobody else is believed, and each event says what it says, for each of its recipients.
import { describe, expect, it } from 'vitest';
import { limits } from '../../runtime/limits.ts';
import { receiptsContract } from '../receipts.contract.ts';
import { sesAccount } from './fake-ses.fixture.ts';
import { attemptId, sesEvent, snsCall, snsCertificate, snsMessage, topicArn } from './fake-sns.fixture.ts';
import { sesKindWith } from './ses.ts';
import { SnsReader } from './sns.ts';

const nowMs = 1_800_000_000_000;
const kind = sesKindWith(new SnsReader(async () => Buffer.from(snsCertificate)));
const settings = kind.settings.parse({ ...sesAccount, topicArn });
const read = async (event: string) =>
  await kind.readReceipts!(snsCall(snsMessage(event, { atMs: nowMs })), settings, nowMs);

receiptsContract('SES', {
  read: (request, at) => kind.readReceipts!(request, settings, at),
  nowMs,
  body: Buffer.from(
    sesEvent('Delivery', {
      delivery: { timestamp: '2027-01-15T07:59:58.000Z', recipients: ['ada@example.org', 'bob@example.org'] },
    }),
  ),
  expected: [
    {
      kind: 'delivered',
      attemptId,
      messageId: '010201-mail-000000',
      address: 'ada@example.org',
      atMs: Date.parse('2027-01-15T07:59:58Z'),
    },
    { kind: 'delivered', attemptId, address: 'bob@example.org' },
  ],
  sign: (body, { atMs, forged = false }) => snsCall(snsMessage(body.toString(), { atMs, forged })),
  signatureHeader: undefined,
  windowMs: limits.snsWindowMs,
});

const bounced = (bounceType: string, bounceSubType: string) => ({
  bounce: {
    bounceType,
    bounceSubType,
    bouncedRecipients: [
      {
        emailAddress: 'ada@example.org',
        action: 'failed',
        status: '5.1.1',
        diagnosticCode: 'smtp; 550 5.1.1 <ada@example.org> user unknown',
      },
    ],
    timestamp: '2027-01-15T07:59:59.000Z',
    feedbackId: '01000157c44f053b',
  },
});

describe('what SES says of a mail', () => {
  it.each([
    ['Send', {}, undefined],
    ['Delivery', { delivery: { recipients: ['ada@example.org'] } }, { kind: 'delivered' }],
    [
      'Bounce',
      bounced('Permanent', 'General'),
      { kind: 'bounced', permanent: true, reason: 'Permanent General 5.1.1' },
    ],
    ['Bounce', bounced('Permanent', 'NoEmail'), { kind: 'bounced', permanent: true }],
    ['Bounce', bounced('Permanent', 'OnAccountSuppressionList'), { kind: 'bounced', permanent: true }],
    ['Bounce', bounced('Permanent', 'UnsubscribedRecipient'), { kind: 'unsubscribed', permanent: false }],
    ['Bounce', bounced('Transient', 'MailboxFull'), { kind: 'bounced', permanent: false }],
    ['Bounce', bounced('Undetermined', 'Undetermined'), { kind: 'bounced', permanent: false }],
    [
      'Complaint',
      {
        complaint: {
          complainedRecipients: [{ emailAddress: 'ada@example.org' }],
          complaintFeedbackType: 'abuse',
        },
      },
      { kind: 'complained', reason: 'abuse' },
    ],
    [
      'DeliveryDelay',
      {
        deliveryDelay: { delayType: 'MailboxFull', delayedRecipients: [{ emailAddress: 'ada@example.org' }] },
      },
      { kind: 'deferred', reason: 'MailboxFull' },
    ],
    [
      'Reject',
      { reject: { reason: 'Bad content' } },
      { kind: 'failed', permanent: false, reason: 'Reject Bad content' },
    ],
    ['Rendering Failure', { failure: { errorMessage: 'x' } }, { kind: 'failed' }],
    ['Open', { open: { timestamp: '2027-01-15T07:59:59.000Z' } }, { kind: 'opened' }],
    ['Click', { click: { link: 'https://shop.example/' } }, { kind: 'clicked' }],
    [
      'Subscription',
      { subscription: { newTopicPreferences: { unsubscribeAll: true } } },
      { kind: 'unsubscribed' },
    ],
    ['Subscription', { subscription: { newTopicPreferences: { unsubscribeAll: false } } }, undefined],
    ['Something new', {}, undefined],
  ])('%s %o', async (type, detail, expected) => {
    const receipts = await read(sesEvent(type, detail));
    expect(receipts).toMatchObject(expected ? [{ attemptId, address: 'ada@example.org', ...expected }] : []);
    for (const { reason } of receipts) expect(reason).not.toContain('@');
  });

  it('is read in its older form too, which has no tags', async () => {
    const old = JSON.parse(sesEvent('', bounced('Permanent', 'General')));
    delete old.eventType;
    delete old.mail.tags;
    const receipts = await read(JSON.stringify({ ...old, notificationType: 'Bounce' }));
    expect(receipts).toMatchObject([{ kind: 'bounced', attemptId: '', messageId: '010201-mail-000000' }]);
  });

  it('says nothing when SES tries out the topic', async () => {
    expect(await read('Successfully validated SNS topic for Amazon SES event publishing.')).toEqual([]);
  });

  it('is not believed while no topic is set', async () => {
    const call = snsCall(snsMessage(sesEvent('Open'), { atMs: nowMs }));
    const without = kind.settings.parse(sesAccount);
    await expect(kind.readReceipts!(call, without, nowMs)).rejects.toMatchObject({
      reason: 'RECEIPT_FORGED',
    });
  });
});
