// Push to Android, and to iOS by tokens of Firebase: FCM's HTTP v1 API, many calls over one HTTP/2 connection.
import { z } from 'zod';
import { Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../../runtime/clock.ts';
import { limits } from '../../runtime/limits.ts';
import type { DestinationAddress } from '../../storage/addresses.ts';
import { outcomeOf } from '../answers.ts';
import { Credential } from '../credential.ts';
import { H2Client } from '../h2-client.ts';
import { type HttpAnswer, jsonOf, retryAfterMs } from '../http-call.ts';
import type { ProviderKind } from '../kind.ts';
import type { Outcome, Provider } from '../provider.ts';
import { fcmAnswers, fcmCode } from './fcm-errors.ts';
import { type FcmMessage, fcmBytes, fcmClear, fcmMessage } from './fcm-message.ts';
import { type FcmSettings, fcmSettings, serviceAccountOf } from './fcm-settings.ts';
import { accessTokens } from './fcm-token.ts';

type Device = Extract<DestinationAddress, { kind: 'device' }>;

const platforms: Record<FcmSettings['platforms'], readonly Platform[]> = {
  android: [Platform.ANDROID],
  ios: [Platform.IOS],
  both: [Platform.ANDROID, Platform.IOS],
};

const taken = z.object({ name: z.string().regex(/^projects\/[^/]+\/messages\/[^/]{1,400}$/) });

function outcomeOfAnswer(answer: HttpAnswer, code: string | undefined, clock: Clock): Outcome {
  const { status, headers } = answer;
  const message = status === 200 ? taken.safeParse(jsonOf(answer)).data : undefined;
  if (message) return { kind: 'sent', messageId: message.name.slice(message.name.lastIndexOf('/') + 1) };
  return outcomeOf(fcmAnswers, {
    status,
    code,
    retryAfterMs: retryAfterMs(headers, clock.now()),
  });
}

export const fcmKind: ProviderKind<FcmSettings> = {
  kind: 'fcm',
  channel: Channel.PUSH,
  settings: fcmSettings,
  environment: {
    serviceAccount: 'FCM_SERVICE_ACCOUNT',
    platforms: 'FCM_PLATFORMS',
    display: 'FCM_DISPLAY',
    baseUrl: 'FCM_BASE_URL',
    tokenUrl: 'FCM_TOKEN_URL',
  },
  secrets: ['serviceAccount'],
  open({ name, settings, clock }): Provider {
    const account = serviceAccountOf(settings);
    const served = platforms[settings.platforms];
    const client = new H2Client({ baseUrl: settings.baseUrl, clock, idleMs: limits.fcmIdleMs });
    const tokens = accessTokens(account, settings.tokenUrl ?? account.token_uri, clock);
    const credential = new Credential(clock, tokens.make);
    const path = `/v1/projects/${account.project_id}/messages:send`;

    const deviceOf = (address: DestinationAddress): Device | undefined =>
      address.kind === 'device' && /^[\x21-\x7e]+$/.test(address.token) ? address : undefined;

    async function post(message: FcmMessage, signal: AbortSignal): Promise<Outcome> {
      const bytes = fcmBytes(message);
      if (bytes > limits.fcmPayloadBytes)
        return {
          kind: 'permanent',
          reason: `the message has ${bytes} bytes, and FCM takes ${limits.fcmPayloadBytes}`,
        };
      const had = await credential.get(signal);
      if ('outcome' in had) return had.outcome;
      const headers = { authorization: `Bearer ${had.token}`, 'content-type': 'application/json' };
      const result = await client.call({ path, headers, body: JSON.stringify({ message }), signal });
      if ('outcome' in result) return result.outcome;
      const code = fcmCode(result.answer);
      if (result.answer.status === 401 && code !== 'THIRD_PARTY_AUTH_ERROR') credential.refuse(had.token);
      return outcomeOfAnswer(result.answer, code, clock);
    }

    const noToken: Outcome = {
      kind: 'permanent',
      reason: 'this is not a registration token',
      address: 'invalid',
    };
    return {
      name,
      channel: Channel.PUSH,
      serves: (address) => address.kind === 'device' && served.includes(address.platform),
      async send(message, { signal }) {
        const device = deviceOf(message.address);
        return device ? post(fcmMessage(message, device, settings.display, clock.now()), signal) : noToken;
      },
      async clear(sent, { signal }) {
        const device = deviceOf(sent.address);
        return device ? post(fcmClear(sent, device, clock.now()), signal) : noToken;
      },
      async [Symbol.asyncDispose]() {
        credential[Symbol.dispose]();
        await Promise.all([client[Symbol.asyncDispose](), tokens[Symbol.asyncDispose]()]);
      },
    };
  },
};
