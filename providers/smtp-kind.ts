// A mail server as a provider that tenants configure: its URL is shown, its password is not.
import { z } from 'zod';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { ProviderKind } from './kind.ts';
import { forged } from './receipt-check.ts';
import { smtpProvider } from './smtp.ts';
import { readDsn } from './smtp-dsn.ts';
import { parseSmtpUrl } from './smtp-url.ts';
import { isWebhookSecret, verifyWebhook } from './webhook/signature.ts';

const url = z.string().superRefine((text, context) => {
  if (URL.parse(text)?.password)
    return context.addIssue({
      code: 'custom',
      message: 'must not hold the password: it is a setting of its own',
    });
  try {
    parseSmtpUrl(text);
  } catch (error) {
    if (!(error instanceof CarillonError)) throw error;
    context.addIssue({ code: 'custom', message: error.message.replace(/^CARILLON_SMTP_URL /, '') });
  }
});

const smtpSettings = z
  .strictObject({
    /** `smtp[s]://user@host:port?from=…`; see smtp-url.ts. */
    url,
    password: z.string().min(1).max(1024).optional(),
    /** PEM certificates that the server's may be signed by, besides the system's. */
    ca: z.string().startsWith('-----BEGIN CERTIFICATE-----').max(16_384).optional(),
    /** `whsec_…`: signs the mails that came back, as they are posted here whole; absent: none are taken. */
    bounceSecret: z
      .string()
      .refine(isWebhookSecret, 'must be whsec_ and 24 to 64 bytes in base64')
      .optional(),
  })
  .refine((settings) => settings.password === undefined || URL.parse(settings.url)?.username !== '', {
    error: 'has a password, but the url names no user',
    path: ['url'],
  });

export type SmtpSettings = z.infer<typeof smtpSettings>;

export const smtpKind: ProviderKind<SmtpSettings> = {
  kind: 'smtp',
  channel: Channel.EMAIL,
  settings: smtpSettings,
  environment: {
    url: 'SMTP_URL',
    password: 'SMTP_PASSWORD',
    ca: 'SMTP_CA',
    bounceSecret: 'SMTP_BOUNCE_SECRET',
  },
  secrets: ['password', 'bounceSecret'],
  open({ name, settings }) {
    const target = new URL(settings.url);
    if (settings.password !== undefined) target.password = encodeURIComponent(settings.password);
    return smtpProvider({ url: target.href, name, ...(settings.ca !== undefined && { ca: settings.ca }) });
  },
  /** A mail that came back, posted as it is with a signature of Standard Webhooks; see docs/providers/smtp.md. */
  readReceipts({ headers, body }, { bounceSecret }, nowMs) {
    if (bounceSecret === undefined)
      throw forged('There is no secret that mails which came back are signed with.');
    verifyWebhook(headers, body, [bounceSecret], nowMs);
    return readDsn(body, nowMs);
  },
};
