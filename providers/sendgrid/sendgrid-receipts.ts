// SendGrid's event webhook: ECDSA over the time and the raw body, and what each event says.
import { createPublicKey, verify } from 'node:crypto';
import { limits } from '../../runtime/limits.ts';
import type { Receipt, ReceiptKind, ReceiptRequest } from '../kind.ts';
import {
  attemptOf,
  digest,
  forged,
  parseJson,
  receipt,
  record,
  requireFresh,
  text,
  unreadable,
} from '../receipt-check.ts';

/** The custom argument that carries our id; events bring it back under this name. */
export const ATTEMPT_ARGUMENT = 'carillon_attempt';

/** Source of names and meanings: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event. */
const kinds: ReadonlyMap<string, ReceiptKind> = new Map([
  ['delivered', 'delivered'],
  ['deferred', 'deferred'],
  ['bounce', 'bounced'],
  ['dropped', 'failed'],
  ['open', 'opened'],
  ['click', 'clicked'],
  ['spamreport', 'complained'],
  ['unsubscribe', 'unsubscribed'],
  ['group_unsubscribe', 'unsubscribed'],
]);

/** Why SendGrid did not try: the address stands on one of its lists, or is none. */
const LISTED =
  /^(Bounced Address|Invalid|Unsubscribed Address|Spam Reporting Address|Recipient List over Package Quota)/;
const OVER_QUOTA = /^Recipient List over Package Quota/;

function isPermanent(kind: ReceiptKind, event: Readonly<Record<string, unknown>>): boolean {
  if (kind === 'bounced') return event.type !== 'blocked';
  const why = text(event.reason);
  return kind === 'failed' && LISTED.test(why) && !OVER_QUOTA.test(why);
}

/** The enhanced status alone: what SendGrid adds is the other server's sentence, which names the address. */
function reasonOf(event: Readonly<Record<string, unknown>>): string {
  const why = text(event.reason);
  const status = /^\d\.\d{1,3}\.\d{1,3}$/.exec(text(event.status))?.[0];
  const listed = LISTED.exec(why)?.[0];
  return [text(event.event), text(event.type), listed, status]
    .filter((part) => part !== undefined && /^[\w. ]{1,40}$/.test(part))
    .join(' ');
}

function receiptOf(value: unknown, nowMs: number): Receipt[] {
  const event = record(value);
  const kind = event && kinds.get(text(event.event));
  // A machine that opens mails before people do says nothing of them.
  if (!kind || (kind === 'opened' && event.sg_machine_open === true)) return [];
  const seconds = Number(text(event.timestamp));
  const messageId = text(event.sg_message_id).split('.')[0] ?? '';
  const id = text(event.sg_event_id);
  return [
    receipt({
      eventId: /^[\w+/=-]{1,128}$/.test(id) ? id : digest(JSON.stringify(event)),
      kind,
      attemptId: attemptOf(event[ATTEMPT_ARGUMENT]),
      messageId,
      address: text(event.email),
      atMs: Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : nowMs,
      permanent: isPermanent(kind, event),
      reason: ['bounced', 'failed', 'deferred'].includes(kind) ? reasonOf(event) : '',
    }),
  ];
}

/** Whether the call bears SendGrid's signature: DER in base64, over the time's digits and the body as it came. */
export function isSendgridCall(
  eventKey: string,
  signature: string,
  timestamp: string,
  body: Buffer,
): boolean {
  if (!/^[A-Za-z0-9+/]{16,128}={0,2}$/.test(signature)) return false;
  try {
    const key = createPublicKey({ key: Buffer.from(eventKey, 'base64'), format: 'der', type: 'spki' });
    const signed = Buffer.concat([Buffer.from(timestamp), body]);
    return verify('sha256', signed, { key, dsaEncoding: 'der' }, Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}

/** Throws RECEIPT_FORGED, also without a key in the settings; INVALID_REQUEST for a body that is no list of events. */
export function readSendgridReceipts(
  { headers, body }: ReceiptRequest,
  { eventKey }: { eventKey?: string | undefined },
  nowMs: number,
): Receipt[] {
  const timestamp = headers['x-twilio-email-event-webhook-timestamp'] ?? '';
  const signature = headers['x-twilio-email-event-webhook-signature'] ?? '';
  if (eventKey === undefined) throw forged('There is no key that SendGrid would sign its events with.');
  if (!/^\d{1,12}$/.test(timestamp) || !isSendgridCall(eventKey, signature, timestamp, body))
    throw forged('This call does not bear the signature of SendGrid.');
  requireFresh(Number(timestamp) * 1000, nowMs, limits.sendgridWindowMs);
  const events = parseJson(body);
  if (!Array.isArray(events) || events.length > limits.receiptsPerCallCount)
    throw unreadable(`The body is not a list of at most ${limits.receiptsPerCallCount} events.`);
  return events.flatMap((event) => receiptOf(event, nowMs));
}
