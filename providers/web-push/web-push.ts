// Push to browsers: encrypted for the browser alone, signed with our key, posted to the push service that its subscription names.
import { createHash } from 'node:crypto';
import { Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { Channel, Lane } from '../../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isUuid } from '../../runtime/ids.ts';
import { limits } from '../../runtime/limits.ts';
import type { DestinationAddress } from '../../storage/addresses.ts';
import { outcomeOf } from '../answers.ts';
import type { Breaker } from '../breaker.ts';
import { type HttpAnswer, type HttpResult, retryAfterMs } from '../http-call.ts';
import type { ProviderKind } from '../kind.ts';
import type { Message, Outcome, Provider, SentMessage } from '../provider.ts';
import { clearWordsOf, ttlSeconds, wordsOf } from '../push-words.ts';
import { encryptFor } from './encryption.ts';
import { type PushService, PushServices } from './push-services.ts';
import { parseSubscription, type Subscription } from './subscription.ts';
import { webPushAnswers } from './web-push-errors.ts';
import { type WebPushSettings, webPushSettings } from './web-push-settings.ts';

interface Post {
  words: object;
  ttlS: number;
  lane: Lane;
  topic: string;
}

/** RFC 8030 §5.3. */
const urgency = (lane: Lane): string =>
  lane === Lane.CRITICAL ? 'high' : lane === Lane.BULK ? 'low' : 'normal';

/** RFC 8030 §5.4: at most 32 characters; of base64url, but Mozilla takes letters and digits alone. */
const topicOf = (id: string): string =>
  isUuid(id) ? id.replaceAll('-', '') : createHash('sha256').update(id).digest('hex').slice(0, 32);

const postOf = (message: Message, nowMs: number): Post => ({
  words: { ...wordsOf(message), title: message.content.title, body: message.content.body },
  ttlS: ttlSeconds(message.expiresAtMs, nowMs),
  lane: message.lane,
  topic: topicOf(message.notificationId),
});

/** Replaces the message at the push service when it is still there, and tells the browser otherwise. */
const clearOf = (sent: SentMessage): Post => ({
  words: clearWordsOf(sent),
  ttlS: limits.pushClearSeconds,
  lane: Lane.NORMAL,
  topic: topicOf(sent.notificationId),
});

const refused = (reason: string, address?: 'invalid' | 'gone'): Outcome => ({
  kind: 'permanent',
  reason,
  ...(address && { address }),
});

/** A page that something between us and the push service answers with. */
const isPage = ({ headers }: HttpAnswer): boolean =>
  headers['content-type']?.startsWith('text/html') === true;

/** What the call came to, for the push service: `down` and `config` are its own failures. */
function ofService(result: HttpResult, service: PushService, attemptId: string, clock: Clock): Outcome {
  if ('outcome' in result) return result.outcome;
  const { answer } = result;
  const { status, headers } = answer;
  if ([200, 201, 202].includes(status) && answer.whole && !isPage(answer))
    return { kind: 'sent', messageId: (headers.location ?? attemptId).slice(0, limits.messageIdChars) };
  const waitMs = retryAfterMs(headers, clock.now());
  if (waitMs !== undefined || status === 429)
    service.breaker.pause(Math.min(waitMs ?? limits.throttledUnsaidMs, limits.throttledMs));
  const outcome = outcomeOf(webPushAnswers, { status, retryAfterMs: waitMs });
  return status >= 500 && outcome.kind === 'transient' ? { kind: 'down', reason: outcome.reason } : outcome;
}

/** The same for the provider, which is not down because one of many push services is. */
function ofProvider(outcome: Outcome, { breaker, isPrivate }: PushService): Outcome {
  if (outcome.kind !== 'down' && outcome.kind !== 'config') return outcome;
  if (isPrivate) return refused('the name of the push service leads to a private address');
  return deferred(outcome.reason, breaker);
}

function deferred(reason: string, breaker: Breaker): Outcome {
  const retryAfterMs = Math.ceil(breaker.waitMs());
  return { kind: 'transient', reason, ...(retryAfterMs > 0 && { retryAfterMs }) };
}

interface Call {
  signal: AbortSignal;
  attemptId: string;
}

export const webPushKind: ProviderKind<WebPushSettings> = {
  kind: 'web-push',
  channel: Channel.PUSH,
  settings: webPushSettings,
  environment: {
    publicKey: 'VAPID_PUBLIC_KEY',
    privateKey: 'VAPID_PRIVATE_KEY',
    subject: 'VAPID_SUBJECT',
    endpoints: 'WEB_PUSH_ENDPOINTS',
  },
  secrets: ['privateKey'],
  open({ name, settings, clock }): Provider {
    const services = new PushServices(settings, clock);

    async function post(
      service: PushService,
      { endpoint, publicKey, auth }: Subscription,
      { ttlS, lane, topic }: Post,
      text: Buffer,
      { signal, attemptId }: Call,
    ): Promise<Outcome> {
      const had = await service.credential.get(signal);
      if ('outcome' in had) return had.outcome;
      const result = await service.caller.call({
        path: endpoint.pathname + endpoint.search,
        headers: {
          authorization: `vapid t=${had.token}, k=${settings.publicKey}`,
          'content-type': 'application/octet-stream',
          'content-encoding': 'aes128gcm',
          ttl: String(ttlS),
          urgency: urgency(lane),
          topic,
        },
        body: encryptFor({ publicKey, auth }, text),
        signal,
      });
      return ofService(result, service, attemptId, clock);
    }

    /** `postTo`: undefined when this browser cannot be told so. */
    async function deliver(
      address: DestinationAddress,
      postTo: (subscription: Subscription) => Post | undefined,
      call: Call,
    ): Promise<Outcome> {
      const subscription =
        address.kind === 'device' ? parseSubscription(address.token, settings.endpoints) : undefined;
      if (!subscription) return refused('this is not a subscription of a push service', 'invalid');
      if (subscription.endsAtMs !== undefined && subscription.endsAtMs <= clock.now())
        return refused('the subscription has ended', 'gone');
      const what = postTo(subscription);
      if (!what) return refused('Safari wants every message to show something');
      const text = Buffer.from(JSON.stringify(what.words));
      const most = limits.webPushPayloadBytes;
      if (text.length > most)
        return refused(`the message has ${text.length} bytes, and push services take ${most}`);
      return services.use(subscription.endpoint.origin, async (service) => {
        const permit = service.breaker.admit();
        if (!permit) return deferred('the push service is paused', service.breaker);
        const outcome = await permit.run(() => post(service, subscription, what, text, call));
        return ofProvider(outcome, service);
      });
    }

    return {
      name,
      channel: Channel.PUSH,
      serves: (address) => address.kind === 'device' && address.platform === Platform.WEB,
      send: (message, { signal }) =>
        deliver(message.address, () => postOf(message, clock.now()), {
          signal,
          attemptId: message.attemptId,
        }),
      clear: (sent, { signal }) =>
        deliver(
          sent.address,
          // Safari takes the permission away from sites whose messages show nothing.
          ({ endpoint }) => (endpoint.hostname.endsWith('.push.apple.com') ? undefined : clearOf(sent)),
          { signal, attemptId: sent.attemptId },
        ),
      [Symbol.asyncDispose]: () => services[Symbol.asyncDispose](),
    };
  },
};
