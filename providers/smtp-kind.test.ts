// A mail server as tenants configure it: its settings, and the mails that came back.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { limits } from '../runtime/limits.ts';
import { receiptsContract } from './receipts.contract.ts';
import { smtpKind } from './smtp-kind.ts';
import { signWebhook } from './webhook/signature.ts';

const nowMs = 1_800_000_000_000;
const secret = `whsec_${Buffer.alloc(32, 'mail').toString('base64')}`;
const other = `whsec_${Buffer.alloc(32, 'x').toString('base64')}`;
const good = { url: 'smtp://mesh@mail.example:587?from=news@mesh.example&bounces=bounces@mesh.example' };
const body = readFileSync(join(import.meta.dirname, 'dsn-samples/postfix-failed.eml'));

receiptsContract('a mail server', {
  read: (request, at) => smtpKind.readReceipts!(request, { ...good, bounceSecret: secret }, at),
  nowMs,
  body,
  expected: [{ kind: 'bounced', attemptId: '01a1f943-efbb-7c47-83da-7d88e5915769', permanent: true }],
  sign: (raw, { atMs, forged }) => ({
    url: 'https://hooks.mesh.example/receipts/smtp',
    headers: { ...signWebhook('mail-1', atMs, raw, [forged ? other : secret]) },
    body: raw,
  }),
  signatureHeader: 'webhook-signature',
  windowMs: limits.receiptWindowMs,
});

describe('the settings of a mail server', () => {
  it('are taken with a password and a secret of their own', () => {
    expect(smtpKind.settings.safeParse({ ...good, password: 'p', bounceSecret: secret }).success).toBe(true);
  });

  it.each([
    ['the password in the URL', { url: 'smtp://mesh:p@mail.example?from=news@mesh.example' }],
    [
      'an address for bounces that has no room for an id',
      { url: `${good.url.split('&')[0]}&bounces=${'b'.repeat(28)}@mesh.example` },
    ],
    ['an address for bounces that is none', { url: `${good.url.split('&')[0]}&bounces=here` }],
    ['a secret that is none', { bounceSecret: 'hunter2' }],
  ])('with %s are refused', (_name, changes) => {
    expect(smtpKind.settings.safeParse({ ...good, ...changes }).success).toBe(false);
  });

  it('without a secret believe no mail that came back', () => {
    const headers = { ...signWebhook('mail-1', nowMs, body, [secret]) };
    expect(() => smtpKind.readReceipts!({ url: '', headers, body }, good, nowMs)).toThrow(/no secret/);
  });
});
