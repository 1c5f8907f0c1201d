// Any channel over a webhook of one's own: a signed JSON post for each message, whose status says what became of it.
import { z } from 'zod';
import { channelName, laneName } from '../../eventlog/topics.ts';
import { PlatformSchema } from '../../gen/carillon/v1/edge_pb.ts';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import type { DestinationAddress } from '../../storage/addresses.ts';
import { outcomeOf } from '../answers.ts';
import { HttpCaller, jsonOf, retryAfterMs } from '../http-call.ts';
import type { ProviderKind } from '../kind.ts';
import { isMailAddress } from '../mail.ts';
import type { Message, Outcome, Provider } from '../provider.ts';
import { isBaseUrl } from '../settings.ts';
import { isPhoneNumber } from '../sms-text.ts';
import { mayBePublic, publicLookup } from './public-address.ts';
import { isWebhookSecret, signWebhook } from './signature.ts';
import { webhookAnswers } from './webhook-errors.ts';
import { readWebhookReceipts } from './webhook-receipts.ts';

const words = (value: unknown): unknown =>
  typeof value === 'string' ? value.split(/[\s,]+/).filter((word) => word !== '') : value;
const truth = (value: unknown): unknown => (value === 'true' ? true : value === 'false' ? false : value);

const webhookSettings = z
  .strictObject({
    /** https; or http on loopback, with allowPrivate. */
    url: z.string().refine(isBaseUrl, 'must be an https URL without query'),
    /** One to four secrets, `whsec_…`, the newest first; in the environment with spaces between them. */
    secrets: z.preprocess(
      words,
      z
        .array(z.string().refine(isWebhookSecret, 'must be whsec_ and 24 to 64 bytes in base64'))
        .min(1)
        .max(4),
    ),
    /** Also addresses that are not public, such as those of one's own network. */
    allowPrivate: z.preprocess(truth, z.boolean()).default(false),
  })
  .refine(({ url, allowPrivate }) => allowPrivate || mayBePublic(url), {
    error: 'the URL leads to an address that is not public; allowPrivate would allow it',
  });

export type WebhookSettings = z.infer<typeof webhookSettings>;

const kinds: Readonly<Partial<Record<Channel, DestinationAddress['kind']>>> = {
  [Channel.PUSH]: 'device',
  [Channel.EMAIL]: 'email',
  [Channel.SMS]: 'phone',
};

function isValid(address: DestinationAddress): boolean {
  if (address.kind === 'email') return isMailAddress(address.email);
  return address.kind === 'phone' ? isPhoneNumber(address.phone) : address.token !== '';
}

function addressJson(address: DestinationAddress): Record<string, string> {
  if (address.kind === 'email') return { email: address.email };
  if (address.kind === 'phone') return { phone: address.phone };
  const { deviceId, platform, token } = address;
  return {
    device_id: deviceId,
    platform: (PlatformSchema.value[platform]?.localName ?? '').toLowerCase(),
    token,
  };
}

/** The body, as docs/providers/webhook.md shows it. */
function bodyOf(message: Message, channel: Channel): Buffer {
  const { content } = message;
  return Buffer.from(
    JSON.stringify({
      type: 'message',
      attempt_id: message.attemptId,
      notification_id: message.notificationId,
      tenant: message.tenant,
      user_id: message.userId,
      channel: channelName(channel),
      category: message.category,
      lane: laneName(message.lane),
      to: addressJson(message.address),
      content: {
        title: content.title,
        body: content.body,
        data: content.data,
        image_url: content.imageUrl,
        actions: content.actions.map(({ label, url }) => ({ label, url })),
      },
      expires_at: new Date(message.expiresAtMs).toISOString(),
      unsubscribe_url: message.unsubscribeUrl,
    }),
  );
}

const taken = z.object({ message_id: z.string().regex(/^[\x21-\x7e]{1,128}$/) });

/** The kind `webhook` of a channel. */
export const webhookKind = (channel: Channel): ProviderKind<WebhookSettings> => ({
  kind: 'webhook',
  channel,
  settings: webhookSettings,
  environment: {
    url: 'CARILLON_WEBHOOK_URL',
    secrets: 'CARILLON_WEBHOOK_SECRETS',
    allowPrivate: 'CARILLON_WEBHOOK_ALLOW_PRIVATE',
  },
  secrets: ['secrets'],
  open({ name, settings: { url, secrets, allowPrivate }, clock }): Provider {
    const caller = new HttpCaller({ baseUrl: url, ...(!allowPrivate && { lookup: publicLookup() }) });
    const serves = ({ kind }: DestinationAddress) => kind === kinds[channel];
    return {
      name,
      channel,
      serves,
      async send(message, { signal }): Promise<Outcome> {
        const { address, attemptId, traceparent } = message;
        if (!serves(address) || !isValid(address))
          return { kind: 'permanent', reason: 'this is not an address of this channel', address: 'invalid' };
        const body = bodyOf(message, channel);
        const headers = {
          'content-type': 'application/json',
          ...signWebhook(attemptId, clock.now(), body, secrets),
          ...(traceparent !== undefined && { traceparent }),
        };
        const result = await caller.call({ path: '', headers, body, signal });
        if ('outcome' in result) return result.outcome;
        const { status, headers: answered } = result.answer;
        if (status >= 200 && status < 300) {
          const said = taken.safeParse(jsonOf(result.answer));
          return { kind: 'sent', messageId: said.success ? said.data.message_id : attemptId };
        }
        return outcomeOf(webhookAnswers, { status, retryAfterMs: retryAfterMs(answered, clock.now()) });
      },
      [Symbol.asyncDispose]: () => caller[Symbol.asyncDispose](),
    };
  },
  readReceipts: readWebhookReceipts,
});
