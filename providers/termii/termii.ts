// Text messages over Termii: one JSON post each; it carries no id of ours, so its own id is what receipts are known by.
import { z } from 'zod';
import { Channel, Lane } from '../../gen/carillon/v1/notification_pb.ts';
import { outcomeOf } from '../answers.ts';
import { type HttpAnswer, HttpCaller, retryAfterMs } from '../http-call.ts';
import type { ProviderKind } from '../kind.ts';
import type { Message, Outcome, Provider } from '../provider.ts';
import { baseUrl, secret } from '../settings.ts';
import { isPhoneNumber, smsText } from '../sms-text.ts';
import { termiiAnswers, termiiSentences } from './termii-errors.ts';
import { parseTermiiJson } from './termii-json.ts';
import { readTermiiReceipts } from './termii-receipts.ts';

const termiiSettings = z.strictObject({
  apiKey: secret,
  /** A registered name of 3 to 11 characters, or a number without +. */
  from: z.string().regex(/^([A-Za-z0-9 -]{3,11}|\d{3,15})$/, 'must be a sender of 3 to 11 characters'),
  /**
   * The route: `dnd` also reaches people who want no advertising, and is for what they asked for; `generic` is for the rest.
   * `by_lane`: bulk goes out over `generic`, everything else over `dnd`.
   */
  route: z.enum(['by_lane', 'dnd', 'generic', 'whatsapp']).default('by_lane'),
  /** Signs what Termii calls back with; the API key when absent. */
  webhookSecret: secret.optional(),
  /** The account's own base URL stands on its dashboard. */
  baseUrl: baseUrl('https://v3.api.termii.com'),
});

export type TermiiSettings = z.infer<typeof termiiSettings>;

const id = z.string().regex(/^[\w-]{1,64}$/);
const taken = z.object({ message_id_str: id }).or(z.object({ message_id: id }));
const refused = z.object({ message: z.string() }).or(z.object({ error: z.string() }));

function saidBy({ body, whole }: HttpAnswer): unknown {
  if (!whole) return undefined;
  try {
    return parseTermiiJson(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function outcomeOfAnswer(answer: HttpAnswer, nowMs: number): Outcome {
  const { status, headers } = answer;
  const said = saidBy(answer);
  const message = taken.safeParse(said);
  if (status === 200 && message.success)
    return {
      kind: 'sent',
      messageId: 'message_id_str' in message.data ? message.data.message_id_str : message.data.message_id,
    };
  const refusal = refused.safeParse(said);
  const sentence = refusal.success ? (Object.values(refusal.data)[0] ?? '') : '';
  return outcomeOf(termiiAnswers, {
    status,
    code: termiiSentences.find(({ says }) => says.test(sentence))?.code,
    retryAfterMs: retryAfterMs(headers, nowMs),
  });
}

function bodyOf({ content, lane }: Message, to: string, { apiKey, from, route }: TermiiSettings): string {
  const byLane = lane === Lane.BULK ? 'generic' : 'dnd';
  return JSON.stringify({
    api_key: apiKey,
    to: to.slice(1),
    from,
    sms: smsText(content),
    type: 'plain',
    channel: route === 'by_lane' ? byLane : route,
  });
}

export const termiiKind: ProviderKind<TermiiSettings> = {
  kind: 'termii',
  channel: Channel.SMS,
  settings: termiiSettings,
  environment: {
    apiKey: 'TERMII_API_KEY',
    from: 'TERMII_FROM',
    route: 'TERMII_ROUTE',
    webhookSecret: 'TERMII_WEBHOOK_SECRET',
    baseUrl: 'TERMII_BASE_URL',
  },
  secrets: ['apiKey', 'webhookSecret'],
  open({ name, settings, clock }): Provider {
    const caller = new HttpCaller({ baseUrl: settings.baseUrl });
    const headers = { 'content-type': 'application/json', accept: 'application/json' };
    return {
      name,
      channel: Channel.SMS,
      serves: ({ kind }) => kind === 'phone',
      async send(message, { signal }): Promise<Outcome> {
        const { address } = message;
        if (address.kind !== 'phone' || !isPhoneNumber(address.phone))
          return { kind: 'permanent', reason: 'this is not a phone number', address: 'invalid' };
        const body = bodyOf(message, address.phone, settings);
        const result = await caller.call({ path: '/api/sms/send', headers, body, signal });
        return 'outcome' in result ? result.outcome : outcomeOfAnswer(result.answer, clock.now());
      },
      [Symbol.asyncDispose]: () => caller[Symbol.asyncDispose](),
    };
  },
  readReceipts: readTermiiReceipts,
};
