// Twilio's calls back: its own validator and our reader believe the same calls, and nothing else.
import { createHash } from 'node:crypto';
import twilio from 'twilio';
import { describe, expect, it } from 'vitest';
import type { ReceiptRequest } from '../kind.ts';
import { receiptsContract } from '../receipts.contract.ts';
import { twilioAccount, twilioCall } from './fake-twilio.fixture.ts';
import { readTwilioReceipts } from './twilio-receipts.ts';
import { isTwilioCall } from './twilio-signature.ts';

const attemptId = '019a9f7e-0000-7000-8000-000000000001';
const url = `https://hooks.mesh.example/receipts/twilio?attempt=${attemptId}`;
const { authToken } = twilioAccount;
const nowMs = 1_800_000_000_000;
const delivered = {
  MessageSid: `SM${'1'.repeat(32)}`,
  MessageStatus: 'delivered',
  To: '+15005550009',
  From: '+15005550006',
  AccountSid: twilioAccount.accountSid,
};
const read = (request: ReceiptRequest) => readTwilioReceipts(request, { authToken }, nowMs);

receiptsContract('Twilio, as a form', {
  read,
  nowMs,
  body: Buffer.from(new URLSearchParams(delivered).toString()),
  expected: [
    {
      kind: 'delivered',
      attemptId,
      messageId: delivered.MessageSid,
      address: '+15005550009',
      permanent: false,
    },
  ],
  sign: (body, { forged }) => {
    const call = twilioCall(url, new URLSearchParams(body.toString()));
    const other = twilio.getExpectedTwilioSignature(
      'another',
      url,
      Object.fromEntries(new URLSearchParams(body.toString())),
    );
    return { ...call, body, ...(forged && { headers: { ...call.headers, 'x-twilio-signature': other } }) };
  },
  signatureHeader: 'x-twilio-signature',
  windowMs: undefined,
});

/** A call with a JSON body, signed by Twilio's own code. */
function jsonCall(body: Buffer, token: string = authToken): ReceiptRequest {
  const signed = `${url}&bodySHA256=${createHash('sha256').update(body).digest('hex')}`;
  const signature = twilio.getExpectedTwilioSignature(token, signed, {});
  return {
    url: signed,
    headers: { 'content-type': 'application/json', 'x-twilio-signature': signature },
    body,
  };
}

receiptsContract('Twilio, as JSON', {
  read,
  nowMs,
  body: Buffer.from(JSON.stringify(delivered)),
  expected: [{ kind: 'delivered', attemptId, messageId: delivered.MessageSid }],
  sign: (body, { forged }) => jsonCall(body, forged ? 'another' : authToken),
  signatureHeader: 'x-twilio-signature',
  windowMs: undefined,
});

describe("Twilio's own validator and ours", () => {
  const urls = [
    'https://hooks.mesh.example/receipts/twilio?attempt=1',
    'https://hooks.mesh.example:443/receipts/twilio?attempt=1',
    'https://hooks.mesh.example:8443/receipts/twilio',
    'http://hooks.mesh.example/a%20b?c=d%27e&f=%C3%A9',
    'https://user:pa%40ss@hooks.mesh.example/x',
    'https://[2001:db8::1]:443/x?y',
  ];
  const forms: readonly Record<string, string | string[]>[] = [
    {},
    { b: '2', a: '1', A: '0', Body: 'Grüezi 👋🏽 & more', Empty: '' },
    { MediaUrl: ['z', 'a', 'z'], x: 'y' },
  ];

  it.each(urls)('agree on calls of %s', (called) => {
    for (const fields of forms) {
      const form = new URLSearchParams();
      for (const [name, value] of Object.entries(fields))
        for (const one of [value].flat()) form.append(name, one);
      const body = Buffer.from(form.toString());
      // What Twilio signs may have the port that our proxy took away, or lack the one that it added.
      for (const signed of [
        called,
        called.replace(/:\d+(?=[/?])/, ''),
        called.replace(/(mesh.example|\])\//, '$1:443/'),
      ]) {
        const signature = twilio.getExpectedTwilioSignature(authToken, signed, fields);
        const theirs = twilio.validateRequest(authToken, signature, called, fields);
        expect(isTwilioCall(authToken, signature, called, body, form), signed).toBe(theirs);
        expect(isTwilioCall('another', signature, called, body, form)).toBe(false);
      }
    }
  });

  it('agree on JSON, and on a body that is not the one that was signed', () => {
    const body = Buffer.from('{"MessageSid":"SM1"}');
    const call = jsonCall(body);
    const signature = call.headers['x-twilio-signature']!;
    for (const text of [body.toString(), '{"MessageSid":"SM2"}']) {
      const theirs = twilio.validateRequestWithBody(authToken, signature, call.url, text);
      expect(isTwilioCall(authToken, signature, call.url, Buffer.from(text), undefined)).toBe(theirs);
      expect(theirs).toBe(text === body.toString());
    }
  });

  it('believe what the fake signs', () => {
    const call = twilioCall(url, delivered);
    expect(twilio.validateRequest(authToken, call.headers['x-twilio-signature']!, url, delivered)).toBe(true);
  });
});

describe('what Twilio says of a message', () => {
  it.each([
    ['queued', '', undefined, false],
    ['sending', '', undefined, false],
    ['sent', '', undefined, false],
    ['delivered', '', 'delivered', false],
    ['read', '', 'opened', false],
    ['undelivered', '30003', 'failed', false],
    ['undelivered', '30005', 'failed', true],
    ['undelivered', '30006', 'failed', true],
    ['failed', '21610', 'failed', true],
    ['failed', '30036', 'failed', false],
    ['failed', '', 'failed', false],
    ['canceled', '', 'failed', false],
    ['something new', '', undefined, false],
    ['constructor', '', undefined, false],
  ])('%s %s', (MessageStatus, ErrorCode, kind, permanent) => {
    const receipts = read(twilioCall(url, { ...delivered, MessageStatus, ErrorCode }));
    if (kind === undefined) expect(receipts).toEqual([]);
    else expect(receipts).toMatchObject([{ kind, permanent, attemptId }]);
    expect(JSON.stringify(receipts.map(({ reason }) => reason))).not.toContain(delivered.To);
  });

  it('has another id for each thing that it says', () => {
    const ids = ['delivered', 'undelivered', 'read'].map(
      (MessageStatus) => read(twilioCall(url, { ...delivered, MessageStatus }))[0]?.eventId,
    );
    expect(new Set(ids).size).toBe(3);
  });

  it('is what people answer, such as STOP', () => {
    const said = {
      MessageSid: 'SM9',
      SmsStatus: 'received',
      From: '+15005550009',
      To: '+15005550006',
      Body: 'Stop ',
    };
    expect(read(twilioCall(url, { ...said, OptOutType: 'STOP' }))).toMatchObject([
      { kind: 'inbound', address: '+15005550009', reason: 'Stop ', eventId: 'SM9', attemptId: '' },
    ]);
  });

  it('brings back no id of ours that is none', () => {
    const other = 'https://hooks.mesh.example/receipts/twilio?attempt=%27%3Bdrop';
    expect(read(twilioCall(other, delivered))).toMatchObject([{ attemptId: '' }]);
  });
});
