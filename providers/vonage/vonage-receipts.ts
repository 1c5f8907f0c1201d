// Vonage's calls back, as a query, a form or JSON: how a message fared, and what people answer, such as STOP.
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
import { internationalNumber } from '../sms-text.ts';
import { vonageFailures } from './vonage-errors.ts';
import { isVonageCall, type VonageMethod } from './vonage-signature.ts';

/** https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts; the others say nothing new. */
const statuses: ReadonlyMap<string, ReceiptKind> = new Map([
  ['delivered', 'delivered'],
  ['failed', 'failed'],
  ['rejected', 'failed'],
  ['expired', 'failed'],
]);

/** The parameters of a call, wherever the account has them put. */
function parametersOf({ url, headers, body }: ReceiptRequest): Record<string, string> {
  if (body.length === 0) return Object.fromEntries(URL.parse(url)?.searchParams ?? []);
  if (!(headers['content-type'] ?? '').toLowerCase().startsWith('application/json'))
    return Object.fromEntries(new URLSearchParams(body.toString('utf8')));
  const object = record(parseJson(body));
  if (!object) throw unreadable('The body is not a JSON object.');
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, text(value)]));
}

function receiptsOf(parameters: Readonly<Record<string, string>>, atMs: number): Receipt[] {
  const { messageId = '', msisdn = '' } = parameters;
  const address = internationalNumber(msisdn);
  const status = (parameters.status ?? '').toLowerCase();
  if (messageId === '') throw unreadable('The call does not say which message it is about.');
  if (status === '') {
    const said = parameters.text ?? parameters.keyword;
    if (said === undefined) throw unreadable('The call says neither a status nor a text.');
    return [receipt({ eventId: messageId, kind: 'inbound', messageId, address, atMs, reason: said })];
  }
  const kind = statuses.get(status);
  if (!kind) return [];
  const code = parameters['err-code'] ?? '';
  const failure = vonageFailures.find((row) => row.code === code);
  return [
    receipt({
      eventId: digest(messageId, status, code),
      kind,
      attemptId: attemptOf(parameters['client-ref']),
      messageId,
      address,
      atMs,
      permanent: kind === 'failed' && failure?.permanent === true,
      reason: kind === 'failed' ? `${status}: ${failure?.says ?? 'no cause is known'}` : '',
    }),
  ];
}

/** Throws RECEIPT_FORGED, also without a secret in the settings; INVALID_REQUEST. */
export function readVonageReceipts(
  request: ReceiptRequest,
  {
    signatureSecret,
    signatureMethod,
  }: { signatureSecret?: string | undefined; signatureMethod?: VonageMethod | undefined },
  nowMs: number,
): Receipt[] {
  if (signatureSecret === undefined || signatureMethod === undefined)
    throw forged('There is no secret that Vonage would sign its calls with.');
  const parameters = parametersOf(request);
  const timestamp = parameters.timestamp ?? '';
  if (!isVonageCall(parameters, signatureSecret, signatureMethod))
    throw forged('This call does not bear the signature of Vonage.');
  const atMs = /^\d{9,11}$/.test(timestamp) ? Number(timestamp) * 1000 : Number.NaN;
  requireFresh(atMs, nowMs, limits.vonageWindowMs);
  return receiptsOf(parameters, atMs);
}
