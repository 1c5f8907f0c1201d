// Mails that came back: what real servers wrote (Postfix 3.7, Exim 4.96), and what a parser of mail must survive.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { readDsn } from './smtp-dsn.ts';

const nowMs = 1_800_000_000_000;
const attemptId = '019a9f7e-0000-7000-8000-000000000001';
const sample = (name: string) => readFileSync(join(import.meta.dirname, 'dsn-samples', name));

describe('a real server', () => {
  it('Postfix, that gave up: by VERP, by ENVID, and by the headers that it returns', () => {
    const expected = [
      {
        kind: 'bounced',
        attemptId: '01a1f943-efbb-7c47-83da-7d88e5915769',
        address: 'ada@rejected.example',
        permanent: true,
        atMs: Date.parse('2026-11-20T14:02:21Z'),
        reason:
          'failed 5.1.1 550 5.1.1 <address>: Recipient address rejected: User unknown in virtual mailbox table',
      },
    ];
    const text = sample('postfix-failed.eml').toString();
    expect(readDsn(Buffer.from(text), nowMs)).toMatchObject(expected);
    const withoutVerp = text.replace(/^To: bounces\+.*$/m, 'To: news@mesh.example');
    expect(readDsn(Buffer.from(withoutVerp), nowMs)).toMatchObject(expected);
    const withoutEnvid = withoutVerp.replace(/^Original-Envelope-Id: .*\r\n/m, '');
    expect(readDsn(Buffer.from(withoutEnvid), nowMs)).toMatchObject(expected);
    const withoutHeader = withoutEnvid.replace(/^X-Carillon-Attempt: .*\r\n/m, '');
    expect(readDsn(Buffer.from(withoutHeader), nowMs)).toMatchObject(expected);
    const withoutAny = withoutHeader.replace(/^Message-ID: <01.*\r\n/m, '');
    expect(readDsn(Buffer.from(withoutAny), nowMs)).toMatchObject([{ attemptId: '', kind: 'bounced' }]);
  });

  it('Postfix, that goes on trying', () => {
    expect(readDsn(sample('postfix-delayed.eml'), nowMs)).toMatchObject([
      { kind: 'deferred', permanent: false, attemptId: '01a1f943-efef-7ce8-8c5b-0d893583699d' },
    ]);
  });

  it('Exim, that says 5.0.0 and leaves the rest to its diagnostics', () => {
    const id = '01a1f943-efbb-7c47-83da-7d88e5915770';
    expect(readDsn(sample('exim-failed.eml'), nowMs)).toMatchObject([
      { kind: 'bounced', address: 'nobody@unrouted.example', permanent: false, attemptId: id },
      { kind: 'bounced', address: 'ada@rejected.example', permanent: true, attemptId: id },
    ]);
  });

  it('has an id for each recipient and each thing that it says, the same when it comes twice', () => {
    const [first, second] = readDsn(sample('exim-failed.eml'), nowMs);
    expect(first?.eventId).not.toBe(second?.eventId);
    expect(readDsn(sample('exim-failed.eml'), nowMs + 1_000)[0]).toEqual(first);
  });
});

const failed = 'Final-Recipient: rfc822;ada@example.org\nAction: failed\nStatus: 5.1.1';

/** A report of our own making. */
function report(
  fields: string,
  { to = `bounces+${attemptId}@mesh.example`, encoding = '', message = '' } = {},
): Buffer {
  const status = `Reporting-MTA: dns; mx.example\n${message}${message && '\n'}\n${fields}\n`;
  const body = encoding === 'base64' ? Buffer.from(status).toString('base64') : status;
  return Buffer.from(
    [
      'From: MAILER-DAEMON@mx.example',
      `To: ${to}`,
      'Content-Type: multipart/report;\n\treport-type=delivery-status; boundary=limit',
      '',
      '--limit',
      'Content-Type: text/plain',
      '',
      'Sorry.',
      '--limit',
      'Content-Type: message/delivery-status',
      ...(encoding === '' ? [] : [`Content-Transfer-Encoding: ${encoding}`]),
      '',
      body,
      '--limit--',
      '',
    ].join('\n'),
  );
}

describe('a report', () => {
  it.each([
    ['failed', '5.1.1', '', 'bounced', true],
    ['failed', '5.1.10', '', 'bounced', true],
    ['failed', '5.1.8', '', 'bounced', false],
    ['failed', '5.7.1', '', 'bounced', false],
    ['failed', '5.2.2', '', 'bounced', false],
    ['failed', '4.4.7', '', 'bounced', false],
    ['failed', '5.0.0', 'smtp; 550-5.1.1 no such user', 'bounced', true],
    ['failed', '5.0.0', 'smtp; 550 no such user', 'bounced', false],
    ['failed', '5.0.0', 'smtp; 450 4.1.1 later', 'bounced', false],
    ['Failed (expired)', '5.1.1', '', 'bounced', true],
    ['delayed', '4.2.2', '', 'deferred', false],
    ['delivered', '2.0.0', '', 'delivered', false],
    ['relayed', '2.0.0', '', undefined, false],
    ['expanded', '2.0.0', '', undefined, false],
    ['constructor', '2.0.0', '', undefined, false],
  ])('%s %s %s', (action, status, diagnostic, kind, permanent) => {
    const fields = `Final-Recipient: rfc822; ada@example.org\nAction: ${action}\nStatus: ${status}\nDiagnostic-Code: ${diagnostic}`;
    const expected = kind === undefined ? [] : [{ kind, permanent, attemptId, address: 'ada@example.org' }];
    expect(readDsn(report(fields), nowMs)).toMatchObject(expected);
  });

  it.each(['base64', 'quoted-printable', '8bit'])('is read from %s', (encoding) => {
    expect(readDsn(report(failed, { encoding }), nowMs)).toMatchObject([{ kind: 'bounced', attemptId }]);
  });

  it('is about the mail whose envelope it names, in the letters of SMTP', () => {
    const message = `Original-Envelope-Id: ${attemptId.replaceAll('-', '+2D')}`;
    expect(readDsn(report(failed, { to: 'news@mesh.example', message }), nowMs)).toMatchObject([
      { attemptId },
    ]);
  });

  it('is about the address that we wrote to, not the one that it was forwarded to', () => {
    const forwarded = `Original-Recipient: rfc822;ada@example.org\n${failed.replace('ada@', 'ada.l@')}`;
    expect(readDsn(report(forwarded), nowMs)).toMatchObject([{ address: 'ada@example.org' }]);
  });

  it('names at most so many recipients', () => {
    const many = Array.from({ length: 1_000 }, (_, n) => failed.replace('ada@', `ada${n}@`)).join('\n\n');
    expect(readDsn(report(many), nowMs)).toHaveLength(limits.dsnRecipientsCount);
  });
});

describe('what is no report', () => {
  const mail = (headers: string, body: string) => Buffer.from(`${headers}\n\n${body}`);

  it('but names the recipients that failed, as Exim used to, is read by that', () => {
    const old = mail(
      'X-Failed-Recipients: ada@example.org, <bob@example.org>\nFrom: Mail Delivery System <Mailer-Daemon@mx.example>\nTo: news@mesh.example',
      `This message was created automatically.\n\n------ This is a copy of the message, including all the headers. ------\n\nReturn-path: <news@mesh.example>\nMessage-ID: <${attemptId}@mesh.example>\nSubject: x\n\nText`,
    );
    expect(readDsn(old, nowMs)).toMatchObject([
      { kind: 'bounced', address: 'ada@example.org', attemptId, permanent: false },
      { kind: 'bounced', address: 'bob@example.org', attemptId },
    ]);
  });

  it.each([
    [
      'a note of somebody on holiday',
      mail(`To: bounces+${attemptId}@mesh.example\nAuto-Submitted: auto-replied`, 'Back on Monday.'),
    ],
    [
      'a complaint of another kind',
      mail(
        'Content-Type: multipart/report; report-type=feedback-report; boundary=x',
        '--x\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n--x--',
      ),
    ],
    ['a multipart without a boundary', mail('Content-Type: multipart/report', 'x')],
    ['an unending multipart', mail('Content-Type: multipart/report; boundary=x', '--x\n'.repeat(100_000))],
  ])('such as %s, says nothing', (_name, raw) => {
    expect(readDsn(raw, nowMs)).toEqual([]);
  });

  it.each(['', 'no header at all', '\u0000', '\n\nbody'])('such as %j, is refused', (text) => {
    expect(() => readDsn(Buffer.from(text), nowMs)).toThrow(
      expect.objectContaining({ reason: 'INVALID_REQUEST' }),
    );
  });

  it('of any kind is survived', () => {
    const bits = [
      'Content-Type: multipart/report; boundary=x',
      '--x',
      'Action: failed',
      'Status: 5.1.1',
      '\n',
      ': ',
      '=3D',
      'X-Failed-Recipients: a@b',
      '------ copy of the message ------',
    ];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...bits), fc.string()), { maxLength: 30 }), (lines) => {
        try {
          readDsn(Buffer.from(lines.join('\n')), nowMs);
        } catch (error) {
          expect(error).toBeInstanceOf(CarillonError);
        }
      }),
    );
  });

  it('of megabytes is read in no time, and no further than it must', () => {
    const endless = mail('X-Failed-Recipients: a@b.example', `${'-'.repeat(50)}\n`.repeat(200_000));
    expect(readDsn(endless, nowMs)).toHaveLength(1);
    const dashes = mail('X-Failed-Recipients: a@b.example', `\n${'-'.repeat(limits.dsnBytes)}`);
    expect(readDsn(dashes, nowMs)).toHaveLength(1);
    const wordy = report(`${failed}\nDiagnostic-Code: ${'a'.repeat(limits.dsnBytes)}`);
    expect(readDsn(wordy, nowMs)).toHaveLength(1);
    const folded = mail(`Subject: x${'\n '.repeat(200_000)}`, 'x');
    expect(readDsn(folded, nowMs)).toEqual([]);
  });
});
