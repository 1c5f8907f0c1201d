// CARILLON_SMTP_URL is read strictly, and a password never shows in what is said about it.
import { describe, expect, it } from 'vitest';
import { parseSmtpUrl } from './smtp-url.ts';

describe('an SMTP URL', () => {
  it('gives host, port, credentials and sender', () => {
    expect(
      parseSmtpUrl('smtp://me:p%40ss@mail.example.org:2525?from=Carillon%20%3Cnews@example.org%3E'),
    ).toEqual({
      host: 'mail.example.org',
      port: 2525,
      secure: false,
      requireTls: true,
      verify: true,
      auth: { user: 'me', pass: 'p@ss' },
      sender: { name: 'Carillon', address: 'news@example.org' },
    });
  });

  it('has the ports that are usual, and needs no STARTTLS on loopback or without a password', () => {
    expect(parseSmtpUrl('smtps://mail.example.org?from=a@b.example')).toMatchObject({
      port: 465,
      secure: true,
      requireTls: false,
    });
    expect(parseSmtpUrl('smtp://mail.example.org?from=a@b.example')).toMatchObject({
      port: 587,
      requireTls: false,
    });
    expect(parseSmtpUrl('smtp://u:p@127.0.0.1:25?from=a@b.example').requireTls).toBe(false);
    expect(parseSmtpUrl('smtp://u:p@[::1]:25?from=a@b.example').host).toBe('::1');
    expect(parseSmtpUrl('smtp://u:p@10.0.0.1:25?from=a@b.example&starttls=optional').requireTls).toBe(false);
  });

  it.each([
    'http://mail.example.org?from=a@b.example',
    'smtp://mail.example.org',
    'smtp://mail.example.org?from=nobody',
    'smtp://mail.example.org/path?from=a@b.example',
    'smtp://mail.example.org?from=a@b.example&tls=yes',
    'smtp://mail.example.org?from=a@b.example&starttls=never',
    'smtp://user:s3cret%zz@mail.example.org?from=a@b.example',
    'nonsense',
  ])('refuses %s', (url) => {
    expect(() => parseSmtpUrl(url)).toThrow(/CARILLON_SMTP_URL/);
    expect(() => parseSmtpUrl(url)).not.toThrow(/s3cret/);
  });
});
