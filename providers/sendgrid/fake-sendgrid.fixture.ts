// Behaves like SendGrid's mail/send, keeps what it takes, and signs events as SendGrid does.
import { generateKeyPairSync, sign } from 'node:crypto';
import { z } from 'zod';
import { systemIds } from '../../runtime/ids.ts';
import { type FakeAnswer, type FakeServer, startFakeServer } from '../http-server.fixture.ts';
import type { ReceiptRequest } from '../kind.ts';

export const sendgridAccount = { apiKey: 'SG.key-of-tests.x', from: 'Carillon <news@mesh.example>' } as const;

const party = z.strictObject({ email: z.string(), name: z.string().optional() });
/** The part of the request that we use; https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send. */
const mailSchema = z.strictObject({
  personalizations: z
    .array(
      z.strictObject({ to: z.array(party).min(1), custom_args: z.record(z.string(), z.string()).optional() }),
    )
    .min(1),
  from: party,
  subject: z.string().min(1),
  content: z.array(z.strictObject({ type: z.string(), value: z.string().min(1) })).min(1),
  headers: z.record(z.string(), z.string().regex(/^[^\r\n]*$/)).optional(),
});

export type SendgridMail = z.infer<typeof mailSchema>;

export interface FakeSendgrid extends AsyncDisposable {
  readonly server: FakeServer;
  readonly mails: readonly (SendgridMail & { id: string })[];
  taken(): readonly string[];
}

/** As SendGrid says that it refuses. */
export const sendgridRefusal = (status: number, field?: string): FakeAnswer => ({
  status,
  body: {
    errors: [
      { message: 'Does not contain a valid address: ada@example.org', field: field ?? null, help: null },
    ],
  },
});

export async function startFakeSendgrid(): Promise<FakeSendgrid> {
  const mails: (SendgridMail & { id: string })[] = [];
  const server = await startFakeServer(({ method, url, headers, body }) => {
    if (headers.authorization !== `Bearer ${sendgridAccount.apiKey}`) return sendgridRefusal(401);
    if (method !== 'POST' || url !== '/v3/mail/send') return sendgridRefusal(404);
    const mail = mailSchema.safeParse(JSON.parse(body.toString('utf8')));
    if (!mail.success) return sendgridRefusal(400, mail.error.issues[0]?.path.join('.'));
    if (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(mail.data.personalizations[0]?.to[0]?.email ?? ''))
      return sendgridRefusal(400, 'personalizations.0.to.0.email');
    const id = systemIds.uuid().replaceAll('-', '').slice(0, 22);
    mails.push({ ...mail.data, id });
    return { status: 202, headers: { 'x-message-id': id } };
  });
  return {
    server,
    mails,
    taken: () => mails.map((mail) => mail.personalizations[0]?.custom_args?.carillon_attempt ?? ''),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const otherKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** As SendGrid shows it. */
export const sendgridEventKey = keys.publicKey.export({ type: 'spki', format: 'der' }).toString('base64');

/** A call of the event webhook, signed as SendGrid does; `forged`: by another key. */
export function sendgridCall(
  body: Buffer,
  { atMs, forged = false }: { atMs: number; forged?: boolean },
): ReceiptRequest {
  const timestamp = String(Math.floor(atMs / 1000));
  const key = (forged ? otherKeys : keys).privateKey;
  return {
    url: 'https://hooks.mesh.example/receipts/sendgrid',
    headers: {
      'content-type': 'application/json',
      'x-twilio-email-event-webhook-timestamp': timestamp,
      'x-twilio-email-event-webhook-signature': sign(
        'sha256',
        Buffer.concat([Buffer.from(timestamp), body]),
        key,
      ).toString('base64'),
    },
    body,
  };
}
