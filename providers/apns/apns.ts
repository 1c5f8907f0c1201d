// Push to Apple's devices: APNs over one HTTP/2 connection, with tokens of the developer account's key.
import { Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { limits } from '../../runtime/limits.ts';
import type { DestinationAddress } from '../../storage/addresses.ts';
import { outcomeOf } from '../answers.ts';
import { type ApplePush, appleClear, applePush } from '../apple-payload.ts';
import { Credential } from '../credential.ts';
import { H2Client } from '../h2-client.ts';
import { retryAfterMs } from '../http-call.ts';
import type { ProviderKind } from '../kind.ts';
import type { Outcome, Provider } from '../provider.ts';
import { apnsAnswers, apnsCode } from './apns-errors.ts';
import { type ApnsSettings, apnsSettings, apnsUrlOf } from './apns-settings.ts';
import { apnsTokens } from './apns-token.ts';

type Device = Extract<DestinationAddress, { kind: 'device' }>;

/** Apple promises no length; it stands in a path. */
const TOKEN = /^([0-9a-f]{2}){8,100}$/i;

const noToken: Outcome = { kind: 'permanent', reason: 'this is not a device token', address: 'invalid' };

export const apnsKind: ProviderKind<ApnsSettings> = {
  kind: 'apns',
  channel: Channel.PUSH,
  settings: apnsSettings,
  environment: {
    key: 'APNS_KEY',
    keyId: 'APNS_KEY_ID',
    teamId: 'APNS_TEAM_ID',
    topic: 'APNS_TOPIC',
    environment: 'APNS_ENVIRONMENT',
    baseUrl: 'APNS_BASE_URL',
  },
  secrets: ['key'],
  open({ name, settings, clock, ids }): Provider {
    const client = new H2Client({ baseUrl: apnsUrlOf(settings), clock, idleMs: limits.apnsIdleMs });
    const credential = new Credential(clock, apnsTokens(settings, clock));
    /** A push was taken: key, topic and environment are right. */
    let proven = false;

    const deviceOf = (address: DestinationAddress): Device | undefined =>
      address.kind === 'device' && TOKEN.test(address.token) ? address : undefined;

    async function post(device: Device, id: string, push: ApplePush, signal: AbortSignal): Promise<Outcome> {
      const body = Buffer.from(JSON.stringify(push.payload));
      if (body.length > limits.apnsPayloadBytes)
        return {
          kind: 'permanent',
          reason: `the message has ${body.length} bytes, and APNs takes ${limits.apnsPayloadBytes}`,
        };
      const had = await credential.get(signal);
      if ('outcome' in had) return had.outcome;
      const result = await client.call({
        path: `/3/device/${device.token}`,
        headers: {
          authorization: `bearer ${had.token}`,
          'apns-id': id,
          'apns-topic': settings.topic,
          ...push.headers,
        },
        body,
        signal,
      });
      if ('outcome' in result) return result.outcome;
      const { status, headers, whole } = result.answer;
      if (status === 200 && whole && headers['apns-id'] !== undefined) {
        proven = true;
        return { kind: 'sent', messageId: headers['apns-id'].slice(0, limits.messageIdChars) };
      }
      const { registeredAtMs } = device;
      return outcomeOf(apnsAnswers, {
        status,
        code: apnsCode(result.answer, { registeredAtMs, proven }),
        retryAfterMs: retryAfterMs(headers, clock.now()),
      });
    }

    return {
      name,
      channel: Channel.PUSH,
      serves: (address) => address.kind === 'device' && address.platform === Platform.IOS,
      async send(message, { signal }) {
        const device = deviceOf(message.address);
        if (!device) return noToken;
        return post(device, message.attemptId, applePush(message, clock.now()), signal);
      },
      async clear(sent, { signal }) {
        const device = deviceOf(sent.address);
        // An id of its own: APNs would take that of the push for a repetition.
        return device ? post(device, ids.uuid(), appleClear(sent, clock.now()), signal) : noToken;
      },
      async [Symbol.asyncDispose]() {
        credential[Symbol.dispose]();
        await client[Symbol.asyncDispose]();
      },
    };
  },
};
