// Reads what mail servers send back (RFC 3464): which of our mails it is about, and what became of it for each recipient.
import { limits } from '../runtime/limits.ts';
import type { Receipt, ReceiptKind } from './kind.ts';
import { withoutAddresses } from './mail.ts';
import { attemptOf, digest, receipt, timeMs, unreadable } from './receipt-check.ts';

/** Lower-case names; of several of one name, the first. */
type Headers = ReadonlyMap<string, string>;

interface Part {
  headers: Headers;
  body: string;
}

function headersOf(text: string): Headers {
  const headers = new Map<string, string>();
  for (const line of text.replaceAll(/\r?\n[ \t]+/g, ' ').split(/\r?\n/)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim().toLowerCase();
    if (colon > 0 && !headers.has(name))
      headers.set(
        name,
        line
          .slice(colon + 1)
          .slice(0, limits.dsnFieldChars)
          .trim(),
      );
  }
  return headers;
}

function partOf(text: string): Part {
  const end = /\r?\n\r?\n/.exec(text);
  const head = end ? text.slice(0, end.index) : text;
  return { headers: headersOf(head), body: end ? text.slice(end.index + end[0].length) : '' };
}

function decoded({ headers, body }: Part): string {
  switch (headers.get('content-transfer-encoding')?.toLowerCase()) {
    case 'base64':
      return Buffer.from(body, 'base64').toString('utf8');
    case 'quoted-printable': {
      const bytes = body
        .replaceAll(/=[ \t]*\r?\n/g, '')
        .replaceAll(/=([0-9A-Fa-f]{2})/g, (_all, hex: string) =>
          String.fromCharCode(Number.parseInt(hex, 16)),
        );
      return Buffer.from(bytes, 'latin1').toString('utf8');
    }
    default:
      return body;
  }
}

const typeOf = ({ headers }: Part): string =>
  (headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** The parts of a multipart message; none for others. */
function partsOf({ headers, body }: Part): Part[] {
  const boundary = /boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;]{1,200}))/i.exec(
    headers.get('content-type') ?? '',
  );
  const mark = boundary?.[1] ?? boundary?.[2];
  if (mark === undefined) return [];
  return `\n${body}`
    .split(`\n--${mark}`)
    .slice(1, limits.dsnPartsCount)
    .filter((text) => !text.startsWith('--'))
    .map((text) => partOf(text.replace(/^[^\n]*\n/, '')));
}

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

/** The id in `bounces+<id>@…` or `<id@…>`. */
const idIn = (text: string | undefined): string =>
  attemptOf(new RegExp(`(?:\\+|<|^)(${UUID})@`, 'i').exec(text ?? '')?.[1]);

/** RFC 3461 §4: `+` and two digits stand for a byte. */
const xtext = (text: string): string =>
  text.replaceAll(/\+([0-9A-F]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** Which call of ours it is about: by where it went, by the id of the envelope, by the mail that is returned with it. */
function attemptIn(mail: Part, report: Headers, original: Headers): string {
  const wentTo = ['x-original-to', 'delivered-to', 'envelope-to', 'x-envelope-to', 'to'];
  const ids = [
    ...wentTo.map((name) => idIn(mail.headers.get(name))),
    attemptOf(xtext(report.get('original-envelope-id') ?? '')),
    attemptOf(original.get('x-carillon-attempt')),
    idIn(original.get('message-id')),
  ];
  return ids.find((id) => id !== '') ?? '';
}

/** `rfc822;ada@example.org`, without the type of address and what stands around it. */
const addressIn = (text: string | undefined): string =>
  (text ?? '').replace(/^[^;]*;/, '').replaceAll(/[<>\s]/g, '');

/** The status, or the one that the other server gave where it says more (Exim writes 5.0.0). */
function statusOf(fields: Headers): string {
  const status = /^[245]\.\d{1,3}\.\d{1,3}/.exec(fields.get('status') ?? '')?.[0] ?? '';
  if (!/^\d\.0\.0$|^$/.test(status)) return status;
  const given = /\b[245]\d\d[ #-]*([245]\.\d{1,3}\.\d{1,3})\b/.exec(fields.get('diagnostic-code') ?? '')?.[1];
  return given !== undefined && (status === '' || given[0] === status[0]) ? given : status;
}

/** 5.1.x is about the address, but for 5.1.7 and 5.1.8, which are about the sender's. */
const isPermanent = (status: string): boolean => /^5\.1\.(?![78]$)\d+$/.test(status);

const actions: ReadonlyMap<string, ReceiptKind> = new Map([
  ['failed', 'bounced'],
  ['delayed', 'deferred'],
  ['delivered', 'delivered'],
]);

function recipientReceipt(fields: Headers, attemptId: string, atMs: number): Receipt[] {
  const action = fields.get('action')?.toLowerCase().split(/\s/)[0] ?? '';
  const kind = actions.get(action);
  if (!kind) return [];
  const status = statusOf(fields);
  const address = addressIn(fields.get('original-recipient') ?? fields.get('final-recipient'));
  const words = withoutAddresses((fields.get('diagnostic-code') ?? '').replace(/^[^;]*;/, ''));
  return [
    receipt({
      eventId: digest(attemptId, address, action, status),
      kind,
      attemptId,
      address,
      atMs,
      permanent: kind === 'bounced' && isPermanent(status),
      reason: [action, status, words.trim()].filter((word) => word !== '').join(' '),
    }),
  ];
}

/** The mail that prose quotes, after a line of dashes. */
const quotedIn = (body: string): string =>
  /\n---[^\n]*(?:message|copy|headers)[^\n]*\n([\s\S]*)$/i.exec(body)?.[1] ?? '';

/** Older servers name the recipients in a header, and say the rest in prose. */
function proseReceipts(mail: Part, attemptId: string, nowMs: number): Receipt[] {
  const failed = mail.headers.get('x-failed-recipients');
  if (failed === undefined) return [];
  return failed
    .split(',')
    .slice(0, limits.dsnRecipientsCount)
    .map((one) => addressIn(one))
    .filter((address) => address !== '')
    .map((address) =>
      receipt({
        eventId: digest(attemptId, address, 'failed', ''),
        kind: 'bounced',
        attemptId,
        address,
        atMs: timeMs(mail.headers.get('date'), nowMs),
        reason: 'failed',
      }),
    );
}

/**
 * The receipts in a mail that came back: none when it is no report, such as the note of a person on holiday. Anybody can send mail:
 * what it says holds for nothing but the call whose id it brings. Throws INVALID_REQUEST for what is no mail at all.
 */
export function readDsn(raw: Buffer, nowMs: number): Receipt[] {
  const text = raw.subarray(0, limits.dsnBytes).toString('utf8').replaceAll('\u0000', '');
  const mail = partOf(text);
  if (mail.headers.size === 0) throw unreadable('This is not a mail.');
  const parts = partsOf(mail);
  const report = parts.find((part) => /^message\/(global-)?delivery-status$/.test(typeOf(part)));
  const returned = parts.find((part) =>
    /^(message\/(rfc822|global)|text\/rfc822-headers)/.test(typeOf(part)),
  );
  const original = partOf((returned ? decoded(returned) : quotedIn(mail.body)).trimStart()).headers;
  if (!report) return proseReceipts(mail, attemptIn(mail, new Map(), original), nowMs);
  const [message = new Map<string, string>(), ...people] = decoded(report)
    .trim()
    .split(/\r?\n(?:[ \t]*\r?\n)+/)
    .slice(0, limits.dsnRecipientsCount + 1)
    .map(headersOf);
  const attemptId = attemptIn(mail, message, original);
  const atMs = timeMs(mail.headers.get('date'), nowMs);
  return people.flatMap((fields) => recipientReceipt(fields, attemptId, atMs));
}
