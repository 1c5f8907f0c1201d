// Mail over SendGrid's v3 API: one mail a call, with our id among its custom arguments, which every event brings back.
import { createPublicKey } from 'node:crypto';
import { z } from 'zod';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { outcomeOf } from '../answers.ts';
import { type HttpAnswer, HttpCaller, jsonOf, retryAfterMs } from '../http-call.ts';
import type { ProviderKind } from '../kind.ts';
import { isMailAddress, type Mail, mailOf, type Sender } from '../mail.ts';
import type { Message, Outcome, Provider } from '../provider.ts';
import { baseUrl, mailSender, parseSender, secret } from '../settings.ts';
import { sendgridAnswers } from './sendgrid-errors.ts';
import { ATTEMPT_ARGUMENT, readSendgridReceipts } from './sendgrid-receipts.ts';

/** The verification key as SendGrid shows it: base64 of a DER public key on P-256. */
function isEventKey(text: string): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' });
    return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
  } catch {
    return false;
  }
}

const sendgridSettings = z.strictObject({
  apiKey: secret,
  from: mailSender,
  /** Of Settings > Mail Settings > Signed Event Webhook; absent: events are not taken. */
  eventKey: z.string().refine(isEventKey, 'must be the verification key, in base64').optional(),
  /** https://api.eu.sendgrid.com for accounts in the European Union. */
  baseUrl: baseUrl('https://api.sendgrid.com'),
});

export type SendgridSettings = z.infer<typeof sendgridSettings>;

const refused = z.object({ errors: z.array(z.object({ field: z.string().nullish() })).min(1) });

/** Milliseconds until the window of X-RateLimit-Reset ends, which is in seconds since the epoch; undefined without one. */
function resetMs({ headers }: HttpAnswer, nowMs: number): number | undefined {
  const text = headers['x-ratelimit-reset'] ?? '';
  return /^\d{9,11}$/.test(text) ? Math.max(0, Number(text) * 1000 - nowMs) : undefined;
}

function outcomeOfAnswer(answer: HttpAnswer, nowMs: number): Outcome {
  const { status, headers } = answer;
  const messageId = headers['x-message-id'];
  if (status === 202 && messageId !== undefined && /^[\w.-]{1,128}$/.test(messageId))
    return { kind: 'sent', messageId };
  const refusal = refused.safeParse(jsonOf(answer));
  return outcomeOf(sendgridAnswers, {
    status,
    code: refusal.success ? (refusal.data.errors[0]?.field ?? undefined) : undefined,
    retryAfterMs: resetMs(answer, nowMs) ?? retryAfterMs(headers, nowMs),
  });
}

const party = ({ address, name }: Sender) => ({ email: address, ...(name !== '' && { name }) });

function bodyOf(mail: Mail, { attemptId }: Message): string {
  return JSON.stringify({
    personalizations: [{ to: [party(mail.to)], custom_args: { [ATTEMPT_ARGUMENT]: attemptId } }],
    from: party(mail.from),
    subject: mail.subject,
    content: [
      { type: 'text/plain', value: mail.text },
      { type: 'text/html', value: mail.html },
    ],
    headers: mail.headers,
  });
}

export const sendgridKind: ProviderKind<SendgridSettings> = {
  kind: 'sendgrid',
  channel: Channel.EMAIL,
  settings: sendgridSettings,
  environment: {
    apiKey: 'SENDGRID_API_KEY',
    from: 'SENDGRID_FROM',
    eventKey: 'SENDGRID_EVENT_KEY',
    baseUrl: 'SENDGRID_BASE_URL',
  },
  secrets: ['apiKey'],
  open({ name, settings, clock }): Provider {
    const caller = new HttpCaller({ baseUrl: settings.baseUrl });
    const sender = parseSender(settings.from)!;
    const headers = {
      authorization: `Bearer ${settings.apiKey}`,
      'content-type': 'application/json',
      accept: 'application/json',
    };
    return {
      name,
      channel: Channel.EMAIL,
      serves: ({ kind }) => kind === 'email',
      async send(message, { signal }): Promise<Outcome> {
        const { address } = message;
        if (address.kind !== 'email' || !isMailAddress(address.email))
          return { kind: 'permanent', reason: 'this is not a mail address', address: 'invalid' };
        const body = bodyOf(mailOf(message, address.email, sender), message);
        const result = await caller.call({ path: '/v3/mail/send', headers, body, signal });
        return 'outcome' in result ? result.outcome : outcomeOfAnswer(result.answer, clock.now());
      },
      [Symbol.asyncDispose]: () => caller[Symbol.asyncDispose](),
    };
  },
  readReceipts: readSendgridReceipts,
};
