// Twilio's calls back: how a message fared, and what people answer, such as STOP.

import type { Receipt, ReceiptKind, ReceiptRequest } from '../kind.ts';
import { attemptOf, digest, forged, parseJson, receipt, record, text, unreadable } from '../receipt-check.ts';
import { twilioFailures } from './twilio-errors.ts';
import type { TwilioSettings } from './twilio-settings.ts';
import { isTwilioCall } from './twilio-signature.ts';

/** https://www.twilio.com/docs/messaging/api/message-resource#message-status-values; the others say nothing new. */
const statuses: ReadonlyMap<string, ReceiptKind> = new Map([
  ['delivered', 'delivered'],
  ['read', 'opened'],
  ['undelivered', 'failed'],
  ['failed', 'failed'],
  ['canceled', 'failed'],
]);

/** The fields of a call: its form's, or those of a JSON object. */
function fieldsOf(body: Buffer, form: URLSearchParams | undefined): (name: string) => string {
  if (form) return (name) => form.get(name) ?? '';
  const object = record(parseJson(body));
  if (!object) throw unreadable('The body is not a JSON object.');
  return (name) => text(object[name]);
}

/**
 * The signature has no time in it: a call that is played again says what it said, under the same event id.
 * Throws RECEIPT_FORGED, INVALID_REQUEST.
 */
export function readTwilioReceipts(
  { url, headers, body }: ReceiptRequest,
  { authToken }: Pick<TwilioSettings, 'authToken'>,
  nowMs: number,
): Receipt[] {
  const isForm = (headers['content-type'] ?? '')
    .toLowerCase()
    .startsWith('application/x-www-form-urlencoded');
  const form = isForm ? new URLSearchParams(body.toString('utf8')) : undefined;
  if (!isTwilioCall(authToken, headers['x-twilio-signature'] ?? '', url, body, form))
    throw forged('This call does not bear the signature of Twilio.');
  const field = fieldsOf(body, form);
  const messageId = field('MessageSid') || field('SmsSid');
  if (messageId === '') throw unreadable('The call does not say which message it is about.');
  const status = (field('MessageStatus') || field('SmsStatus')).toLowerCase();
  if (status === 'received')
    return [
      receipt({
        eventId: messageId,
        kind: 'inbound',
        messageId,
        address: field('From'),
        atMs: nowMs,
        reason: field('Body'),
      }),
    ];
  const kind = statuses.get(status);
  if (!kind) return [];
  const code = field('ErrorCode');
  const failure = twilioFailures.find((row) => row.code === code);
  return [
    receipt({
      eventId: digest(messageId, status, code),
      kind,
      attemptId: attemptOf(URL.parse(url)?.searchParams.get('attempt')),
      messageId,
      address: field('To'),
      atMs: nowMs,
      permanent: kind === 'failed' && failure?.permanent === true,
      reason:
        kind === 'failed' ? `${status}: ${failure?.says ?? 'no cause is known'} (${code || 'no code'})` : '',
    }),
  ];
}
