// Termii's calls back: HMAC-SHA512 over the raw body, how a message fared in words, and what people answer.
import { createHmac } from 'node:crypto';
import type { Receipt, ReceiptKind, ReceiptRequest } from '../kind.ts';
import { digest, forged, receipt, record, sameBytes, text, timeMs, unreadable } from '../receipt-check.ts';
import { internationalNumber } from '../sms-text.ts';
import { parseTermiiJson } from './termii-json.ts';

/** https://developer.termii.com/events-and-reports; a status may go on, as in `DELIVERED | Message delivered to handset`. */
const statuses: readonly { begins: RegExp; kind: ReceiptKind; says: string }[] = [
  { begins: /^delivered/i, kind: 'delivered', says: '' },
  // About the route: over `dnd` the same number may well be reached.
  {
    begins: /^dnd active/i,
    kind: 'failed',
    says: 'the person wants no such messages, and the route respects it',
  },
  { begins: /^(message )?failed/i, kind: 'failed', says: 'no cause is known' },
  { begins: /^rejected/i, kind: 'failed', says: 'the carrier refused it' },
  { begins: /^expired/i, kind: 'failed', says: 'its time had passed' },
];

/** The signature's bytes: where it is written how, is not written anywhere, so both hexadecimal and base64 are taken. */
function signatureBytes(header: string): Buffer {
  if (/^[0-9a-f]{128}$/i.test(header)) return Buffer.from(header, 'hex');
  return /^[A-Za-z0-9+/]{86}==$/.test(header) ? Buffer.from(header, 'base64') : Buffer.alloc(0);
}

function isTermiiCall(secret: string, signature: string, body: Buffer): boolean {
  return sameBytes(signatureBytes(signature), createHmac('sha512', secret).update(body).digest());
}

function parse(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const event = record(parseTermiiJson(body.toString('utf8')));
    if (event) return event;
  } catch {
    throw unreadable('The body is not JSON.');
  }
  throw unreadable('The body is not a JSON object.');
}

/**
 * The signature has no time in it: a call that is played again says what it said, under the same event id.
 * Throws RECEIPT_FORGED, INVALID_REQUEST.
 */
export function readTermiiReceipts(
  { headers, body }: ReceiptRequest,
  { apiKey, webhookSecret }: { apiKey: string; webhookSecret?: string | undefined },
  nowMs: number,
): Receipt[] {
  if (!isTermiiCall(webhookSecret ?? apiKey, headers['x-termii-signature'] ?? '', body))
    throw forged('This call does not bear the signature of Termii.');
  const event = parse(body);
  const messageId = text(event.message_id);
  const type = text(event.type).toLowerCase();
  // Devices that went offline, and whatever else there may be, are not about messages.
  if (type !== 'outbound' && type !== 'inbound') return [];
  if (messageId === '') throw unreadable('The call does not say which message it is about.');
  if (type === 'inbound')
    return [
      receipt({
        eventId: digest('inbound', messageId),
        kind: 'inbound',
        messageId,
        address: internationalNumber(text(event.sender)),
        atMs: timeMs(event.received_at, nowMs),
        reason: text(event.message),
      }),
    ];
  const status = text(event.status).trim();
  const row = statuses.find(({ begins }) => begins.test(status));
  if (!row) return [];
  return [
    receipt({
      eventId: digest(messageId, row.kind, row.says),
      kind: row.kind,
      messageId,
      address: internationalNumber(text(event.receiver)),
      atMs: nowMs,
      reason: row.says,
    }),
  ];
}
