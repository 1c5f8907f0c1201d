// Text messages over Vonage: one form post each, whose answer is HTTP 200 whatever it says, with our id as the client's reference.
import { z } from 'zod';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { outcomeOf } from '../answers.ts';
import { type HttpAnswer, HttpCaller, jsonOf, retryAfterMs } from '../http-call.ts';
import type { ProviderKind } from '../kind.ts';
import type { Message, Outcome, Provider } from '../provider.ts';
import { isGsmText, isPhoneNumber, smsText } from '../sms-text.ts';
import { vonageAnswers } from './vonage-errors.ts';
import { readVonageReceipts } from './vonage-receipts.ts';
import { type VonageSettings, vonageSettings } from './vonage-settings.ts';
import { vonageSignature } from './vonage-signature.ts';

/** Milliseconds that a message may wait at Vonage: https://developer.vonage.com/en/api/sms. */
const SHORTEST_TTL_MS = 20_000;
const LONGEST_TTL_MS = 604_800_000;

/** One element for each part of a long text. */
const answered = z.object({
  messages: z.array(z.object({ status: z.string(), 'message-id': z.string().optional() })).min(1),
});

function outcomeOfAnswer(answer: HttpAnswer, nowMs: number): Outcome {
  const { status, headers } = answer;
  const said = answered.safeParse(jsonOf(answer));
  const parts = said.success ? said.data.messages : [];
  const taken = parts.filter((part) => part.status === '0' && part['message-id'] !== undefined);
  if (status === 200 && taken.length > 0)
    return taken.length === parts.length
      ? { kind: 'sent', messageId: taken[0]?.['message-id'] ?? '' }
      : { kind: 'unknown', reason: `${taken.length} of ${parts.length} parts of the text were taken` };
  return outcomeOf(vonageAnswers, {
    status,
    code: parts.find((part) => part.status !== '0')?.status,
    retryAfterMs: retryAfterMs(headers, nowMs),
  });
}

function parametersOf(
  message: Message,
  to: string,
  settings: VonageSettings,
  receiptsUrl: string | undefined,
  nowMs: number,
): Record<string, string> {
  const { apiKey, apiSecret, signatureSecret, signatureMethod, from } = settings;
  const text = smsText(message.content);
  const leftMs = Math.min(LONGEST_TTL_MS, Math.max(SHORTEST_TTL_MS, message.expiresAtMs - nowMs));
  const parameters: Record<string, string> = {
    api_key: apiKey,
    from,
    to: to.slice(1),
    text,
    type: isGsmText(text) ? 'text' : 'unicode',
    ttl: String(Math.floor(leftMs)),
    'client-ref': message.attemptId,
    'status-report-req': '1',
    ...(receiptsUrl !== undefined && { callback: receiptsUrl }),
  };
  if (apiSecret !== undefined) return { ...parameters, api_secret: apiSecret };
  const signed = { ...parameters, timestamp: String(Math.floor(nowMs / 1000)) };
  return { ...signed, sig: vonageSignature(signed, signatureSecret!, signatureMethod!) };
}

export const vonageKind: ProviderKind<VonageSettings> = {
  kind: 'vonage',
  channel: Channel.SMS,
  settings: vonageSettings,
  environment: {
    apiKey: 'VONAGE_API_KEY',
    apiSecret: 'VONAGE_API_SECRET',
    signatureSecret: 'VONAGE_SIGNATURE_SECRET',
    signatureMethod: 'VONAGE_SIGNATURE_METHOD',
    from: 'VONAGE_FROM',
    baseUrl: 'VONAGE_BASE_URL',
  },
  secrets: ['apiSecret', 'signatureSecret'],
  open({ name, settings, receiptsUrl, clock }): Provider {
    const caller = new HttpCaller({ baseUrl: settings.baseUrl });
    const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
    return {
      name,
      channel: Channel.SMS,
      serves: ({ kind }) => kind === 'phone',
      async send(message, { signal }): Promise<Outcome> {
        const { address } = message;
        if (address.kind !== 'phone' || !isPhoneNumber(address.phone))
          return { kind: 'permanent', reason: 'this is not a phone number', address: 'invalid' };
        const form = new URLSearchParams(
          parametersOf(message, address.phone, settings, receiptsUrl, clock.now()),
        );
        const result = await caller.call({ path: '/sms/json', headers, body: form.toString(), signal });
        return 'outcome' in result ? result.outcome : outcomeOfAnswer(result.answer, clock.now());
      },
      [Symbol.asyncDispose]: () => caller[Symbol.asyncDispose](),
    };
  },
  readReceipts: readVonageReceipts,
};
