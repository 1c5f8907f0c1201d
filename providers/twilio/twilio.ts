// Text messages over Twilio: one form post each, with our id in the address that receipts come back to.
import { z } from 'zod';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../../runtime/clock.ts';
import { outcomeOf } from '../answers.ts';
import { type HttpAnswer, HttpCaller, jsonOf, retryAfterMs } from '../http-call.ts';
import type { ProviderKind } from '../kind.ts';
import type { Message, Outcome, Provider } from '../provider.ts';
import { isPhoneNumber, smsText, tooLong } from '../sms-text.ts';
import { twilioAnswers } from './twilio-errors.ts';
import { readTwilioReceipts } from './twilio-receipts.ts';
import { type TwilioSettings, twilioSettings } from './twilio-settings.ts';

/** Characters of a text, whatever its encoding: https://www.twilio.com/docs/api/errors/21617. */
const MOST_CHARACTERS = 1_600;
/** Seconds that a message may wait at Twilio: https://www.twilio.com/docs/messaging/api/message-resource. */
const LONGEST_VALIDITY_S = 36_000;

const taken = z.object({ sid: z.string().regex(/^(SM|MM)[0-9a-fA-F]{32}$/) });
const refused = z.object({ code: z.union([z.number(), z.string()]) });

function outcomeOfAnswer(answer: HttpAnswer, clock: Clock): Outcome {
  const said = jsonOf(answer);
  const { status, headers } = answer;
  if (status >= 200 && status < 300) {
    const message = taken.safeParse(said);
    if (message.success) return { kind: 'sent', messageId: message.data.sid };
  }
  const refusal = refused.safeParse(said);
  return outcomeOf(twilioAnswers, {
    status,
    code: refusal.success ? String(refusal.data.code) : undefined,
    retryAfterMs: retryAfterMs(headers, clock.now()),
  });
}

/** The address of receipts, with our id in its query: Twilio signs it, so nobody else can make one up. */
function callbackUrl(receiptsUrl: string, attemptId: string): string {
  const url = new URL(receiptsUrl);
  url.searchParams.set('attempt', attemptId);
  return url.href;
}

function formOf(
  message: Message,
  to: string,
  { from, messagingServiceSid }: TwilioSettings,
  receiptsUrl: string | undefined,
  nowMs: number,
): URLSearchParams {
  const leftS = Math.ceil((message.expiresAtMs - nowMs) / 1000);
  return new URLSearchParams({
    To: to,
    ...(from !== undefined && { From: from }),
    ...(messagingServiceSid !== undefined && { MessagingServiceSid: messagingServiceSid }),
    Body: smsText(message.content),
    ValidityPeriod: String(Math.min(LONGEST_VALIDITY_S, Math.max(1, leftS))),
    ...(receiptsUrl !== undefined && { StatusCallback: callbackUrl(receiptsUrl, message.attemptId) }),
  });
}

export const twilioKind: ProviderKind<TwilioSettings> = {
  kind: 'twilio',
  channel: Channel.SMS,
  settings: twilioSettings,
  environment: {
    accountSid: 'TWILIO_ACCOUNT_SID',
    authToken: 'TWILIO_AUTH_TOKEN',
    apiKeySid: 'TWILIO_API_KEY',
    apiKeySecret: 'TWILIO_API_SECRET',
    from: 'TWILIO_FROM',
    messagingServiceSid: 'TWILIO_MESSAGING_SERVICE_SID',
    baseUrl: 'TWILIO_BASE_URL',
  },
  secrets: ['authToken', 'apiKeySecret'],
  open({ name, settings, receiptsUrl, clock }): Provider {
    const caller = new HttpCaller({ baseUrl: settings.baseUrl });
    const user = settings.apiKeySid ?? settings.accountSid;
    const password = settings.apiKeySecret ?? settings.authToken;
    const headers = {
      authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
    };
    const path = `/2010-04-01/Accounts/${settings.accountSid}/Messages.json`;
    return {
      name,
      channel: Channel.SMS,
      serves: ({ kind }) => kind === 'phone',
      async send(message, { signal }): Promise<Outcome> {
        const { address } = message;
        if (address.kind !== 'phone' || !isPhoneNumber(address.phone))
          return { kind: 'permanent', reason: 'this is not a phone number', address: 'invalid' };
        const form = formOf(message, address.phone, settings, receiptsUrl, clock.now());
        const refusal = tooLong(form.get('Body')!, MOST_CHARACTERS);
        if (refusal) return refusal;
        const result = await caller.call({ path, headers, body: form.toString(), signal });
        return 'outcome' in result ? result.outcome : outcomeOfAnswer(result.answer, clock);
      },
      [Symbol.asyncDispose]: () => caller[Symbol.asyncDispose](),
    };
  },
  readReceipts: readTwilioReceipts,
};
