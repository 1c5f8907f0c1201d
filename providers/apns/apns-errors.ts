// What APNs' answers mean: by Apple's reason, and by what else is known where the reason alone would cost people their tokens.
import { z } from 'zod';
import type { AnswerRow } from '../answers.ts';
import { type HttpAnswer, jsonOf } from '../http-call.ts';

const source =
  'https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns';

const rows = (
  status: number,
  verdict: AnswerRow['verdict'],
  reasons: Readonly<Record<string, string>>,
  waitMs?: number,
): AnswerRow[] =>
  Object.entries(reasons).map(([code, says]) => ({
    status,
    code,
    verdict,
    says,
    ...(waitMs !== undefined && { waitMs }),
    source,
  }));

export const apnsAnswers: readonly AnswerRow[] = [
  // A token of the other environment is answered so too: as long as none has worked here, that may be all of them.
  ...rows(400, 'permanent', { BadDeviceToken: 'the token is none of this environment' }),
  ...rows(400, 'invalid', { 'BadDeviceToken.proven': 'the token is none, and others work here' }),
  ...rows(400, 'permanent', {
    DeviceTokenNotForTopic: 'the token belongs to another app',
    BadCollapseId: 'the collapse id is refused',
    BadExpirationDate: 'the expiry is refused',
    BadMessageId: 'our id is refused',
    BadPriority: 'the priority is refused',
    DuplicateHeaders: 'a header came twice',
    InvalidPushType: 'the push type is refused',
    MissingDeviceToken: 'the token is missing',
    PayloadEmpty: 'the payload is empty',
  }),
  ...rows(400, 'config', {
    BadTopic: 'the topic is refused',
    MissingTopic: 'the topic is missing',
    TopicDisallowed: 'the key may not push to this topic',
  }),
  ...rows(400, 'down', { IdleTimeout: 'the connection was idle for too long' }),
  ...rows(403, 'config', {
    BadCertificate: 'the certificate is refused',
    BadCertificateEnvironment: 'the certificate is of the other environment',
    ExpiredProviderToken: "our token is too old: is this machine's clock right?",
    Forbidden: 'the account may not do this',
    InvalidProviderToken: 'our token is refused: is it the right key, key id and team?',
    MissingProviderToken: 'our token is missing',
    UnrelatedKeyIdInToken: 'the key is not the one that this connection began with',
    BadEnvironmentKeyIdInToken: 'the key is of the other environment',
    // As Apple's servers spell it.
    BadEnvironmentKeyInToken: 'the key is of the other environment',
  }),
  ...rows(404, 'permanent', { BadPath: 'the token does not make a path' }),
  ...rows(405, 'config', { MethodNotAllowed: 'the API does not take this method' }),
  ...rows(410, 'gone', {
    Unregistered: 'the app is no longer registered',
    ExpiredToken: 'the token has expired',
  }),
  ...rows(410, 'permanent', {
    'Unregistered.since': 'the app was gone at a time before this token was registered',
    'ExpiredToken.since': 'the token had expired at a time before it was registered here',
  }),
  ...rows(413, 'permanent', { PayloadTooLarge: 'the message is too big' }),
  // Of one device: it says nothing about the others.
  ...rows(429, 'transient', { TooManyRequests: 'too many messages to this device' }),
  ...rows(429, 'throttled', { TooManyProviderTokenUpdates: 'our token changed too often' }, 600_000),
  ...rows(500, 'down', { InternalServerError: 'the service fails' }),
  ...rows(503, 'down', {
    ServiceUnavailable: 'the service is not there',
    Shutdown: 'the server is shutting down',
  }),
];

const refusal = z.object({ reason: z.string().max(64), timestamp: z.number().optional() });

export interface Known {
  /** When the token was registered, milliseconds since the epoch. */
  registeredAtMs: number;
  /** A push has been taken with these settings. */
  proven: boolean;
}

/** The code of the table: Apple's reason, with what is known besides. */
export function apnsCode(answer: HttpAnswer, { registeredAtMs, proven }: Known): string | undefined {
  const said = refusal.safeParse(jsonOf(answer)).data;
  if (!said) return undefined;
  const { reason, timestamp } = said;
  if (reason === 'BadDeviceToken') return proven ? 'BadDeviceToken.proven' : reason;
  if (reason === 'Unregistered' || reason === 'ExpiredToken')
    return timestamp !== undefined && registeredAtMs < timestamp ? reason : `${reason}.since`;
  return reason;
}
