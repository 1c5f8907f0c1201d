// SendGrid's events: its own verifier and our reader believe the same calls, and each event says what it says.
import { EventWebhook } from '@sendgrid/eventwebhook';
import { describe, expect, it } from 'vitest';
import { limits } from '../../runtime/limits.ts';
import { receiptsContract } from '../receipts.contract.ts';
import { sendgridCall, sendgridEventKey } from './fake-sendgrid.fixture.ts';
import { isSendgridCall, readSendgridReceipts } from './sendgrid-receipts.ts';

const attemptId = '019a9f7e-0000-7000-8000-000000000001';
const nowMs = 1_800_000_000_000;
const event = (name: string, more: Record<string, unknown> = {}) => ({
  email: 'ada@example.org',
  timestamp: 1_799_999_990,
  'smtp-id': '<14c5d75ce93.dfd.64b469@ismtpd-555>',
  event: name,
  category: ['news'],
  sg_event_id: `event-${name}==`,
  sg_message_id: '14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0',
  carillon_attempt: attemptId,
  ...more,
});
const bodyOf = (...events: unknown[]) => Buffer.from(`${JSON.stringify(events)}\r\n`);
const read = (body: Buffer) =>
  readSendgridReceipts(sendgridCall(body, { atMs: nowMs }), { eventKey: sendgridEventKey }, nowMs);

receiptsContract('SendGrid', {
  read: (request, at) => readSendgridReceipts(request, { eventKey: sendgridEventKey }, at),
  nowMs,
  body: bodyOf(event('processed'), event('delivered', { response: '250 OK' }), event('open')),
  expected: [
    {
      eventId: 'event-delivered==',
      kind: 'delivered',
      attemptId,
      messageId: '14c5d75ce93',
      address: 'ada@example.org',
      atMs: 1_799_999_990_000,
    },
    { kind: 'opened' },
  ],
  sign: sendgridCall,
  signatureHeader: 'x-twilio-email-event-webhook-signature',
  windowMs: limits.sendgridWindowMs,
});

describe("SendGrid's own verifier and ours", () => {
  it.each(['[]', '[{"event":"open"}]\r\n', '[{"event":"open"}]', 'Grüezi 👋🏽'])('agree on %j', (text) => {
    const body = Buffer.from(text);
    const webhook = new EventWebhook();
    const key = webhook.convertPublicKeyToECDSA(sendgridEventKey);
    for (const forged of [false, true]) {
      const { headers } = sendgridCall(body, { atMs: nowMs, forged });
      const timestamp = headers['x-twilio-email-event-webhook-timestamp']!;
      const signature = headers['x-twilio-email-event-webhook-signature']!;
      for (const seen of [body, Buffer.from(text.trimEnd()), Buffer.from(`${text} `)]) {
        const theirs = webhook.verifySignature(key, seen, signature, timestamp);
        expect(isSendgridCall(sendgridEventKey, signature, timestamp, seen)).toBe(theirs);
        expect(theirs).toBe(!forged && seen.equals(body));
      }
    }
  });
});

describe('what SendGrid says of a mail', () => {
  it.each([
    [event('processed'), undefined],
    [event('deferred', { response: '400 try again later', attempt: '5' }), { kind: 'deferred' }],
    [event('delivered'), { kind: 'delivered' }],
    [event('bounce', { type: 'bounce', status: '5.0.0' }), { kind: 'bounced', permanent: true }],
    [event('bounce', { status: '5.1.1' }), { kind: 'bounced', permanent: true }],
    [event('bounce', { type: 'blocked', status: '4.7.1' }), { kind: 'bounced', permanent: false }],
    [event('dropped', { reason: 'Bounced Address' }), { kind: 'failed', permanent: true }],
    [event('dropped', { reason: 'Unsubscribed Address' }), { kind: 'failed', permanent: true }],
    [
      event('dropped', { reason: 'Spam Content (if Spam Checker app enabled)' }),
      { kind: 'failed', permanent: false },
    ],
    [event('dropped', { reason: 'Recipient List over Package Quota' }), { kind: 'failed', permanent: false }],
    [event('open'), { kind: 'opened' }],
    [event('open', { sg_machine_open: true }), undefined],
    [event('click', { url: 'https://shop.example/' }), { kind: 'clicked' }],
    [event('spamreport'), { kind: 'complained' }],
    [event('unsubscribe'), { kind: 'unsubscribed' }],
    [event('group_unsubscribe', { asm_group_id: 1 }), { kind: 'unsubscribed' }],
    [event('group_resubscribe', { asm_group_id: 1 }), undefined],
    [event('something_new'), undefined],
    [event('constructor'), undefined],
  ])('%o', (said, expected) => {
    const receipts = read(bodyOf(said));
    expect(receipts).toMatchObject(expected ? [{ attemptId, ...expected }] : []);
  });

  it('does not name the address in its reason, though SendGrid does', () => {
    const reason = '550 5.1.1 <ada@example.org>: Recipient address rejected';
    const [bounced] = read(bodyOf(event('bounce', { reason, status: '5.1.1', type: 'bounce' })));
    expect(bounced?.reason).toBe('bounce bounce 5.1.1');
  });

  it('has an id for each event, even where SendGrid gives none', () => {
    const nameless = ['delivered', 'open'].map((name) => event(name, { sg_event_id: undefined }));
    const ids = read(bodyOf(...nameless)).map(({ eventId }) => eventId);
    expect(new Set(ids).size).toBe(2);
  });

  it('is not believed at all while no key is set', () => {
    const call = sendgridCall(bodyOf(event('open')), { atMs: nowMs });
    expect(() => readSendgridReceipts(call, {}, nowMs)).toThrow(/no key/);
  });
});
