// What FCM's answers mean: by its error code, and by which details come with it where the code alone would mislead.
import { z } from 'zod';
import type { AnswerRow } from '../answers.ts';
import { type HttpAnswer, jsonOf } from '../http-call.ts';

const codes = 'https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode';
const examples = 'https://firebase.google.com/docs/cloud-messaging/error-codes';
const quotas = 'https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas';
const canonical = 'https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto';

export const fcmAnswers: readonly AnswerRow[] = [
  {
    status: 404,
    code: 'UNREGISTERED',
    verdict: 'gone',
    says: 'the app is no longer registered',
    source: codes,
  },
  { status: 404, verdict: 'config', says: 'there is no such project', source: canonical },
  {
    status: 400,
    code: 'INVALID_ARGUMENT.FcmError',
    verdict: 'invalid',
    says: 'this is not a registration token',
    source: examples,
  },
  // Comes with FcmError too, though the token is fine.
  {
    status: 400,
    code: 'INVALID_ARGUMENT.too-big',
    verdict: 'permanent',
    says: 'the message is too big',
    source: codes,
  },
  {
    status: 400,
    code: 'INVALID_ARGUMENT.BadRequest',
    verdict: 'permanent',
    says: 'a field is refused',
    source: examples,
  },
  { status: 400, verdict: 'permanent', says: 'the request is refused', source: codes },
  {
    status: 403,
    code: 'SENDER_ID_MISMATCH',
    verdict: 'policy',
    says: 'the token belongs to another project',
    source: codes,
  },
  { status: 403, verdict: 'config', says: 'the service account may not send', source: canonical },
  {
    status: 401,
    code: 'THIRD_PARTY_AUTH_ERROR',
    verdict: 'config',
    says: "the project's APNs key or Web Push key is missing or not valid",
    source: codes,
  },
  { status: 401, verdict: 'config', says: 'the access token is refused', source: canonical },
  // Says nothing about other devices.
  {
    status: 429,
    code: 'QUOTA_EXCEEDED.device',
    verdict: 'transient',
    says: 'too many messages to this device',
    source: codes,
  },
  { status: 429, verdict: 'throttled', says: 'the quota is used up', waitMs: 60_000, source: quotas },
  {
    status: 503,
    code: 'UNAVAILABLE.retry-after',
    verdict: 'throttled',
    says: 'the service is overloaded and says for how long',
    waitMs: 60_000,
    source: codes,
  },
  { status: 503, verdict: 'down', says: 'the service is overloaded', source: codes },
  { status: 500, verdict: 'down', says: 'the service fails', source: codes },
  { status: 504, verdict: 'unknown', says: 'it was not done in time, or perhaps it was', source: canonical },
];

/** Of Google's token endpoint (RFC 6749 §5.2): the message was not sent, whatever it is. */
export const fcmTokenAnswers: readonly AnswerRow[] = [
  {
    status: 400,
    code: 'invalid_grant',
    verdict: 'config',
    says: "the service account's key is refused, or this machine's clock is wrong",
    source: 'https://developers.google.com/identity/protocols/oauth2/service-account',
  },
  { status: 400, verdict: 'config', says: 'no access token is given', source: 'RFC 6749 §5.2' },
  { status: '2xx', verdict: 'down', says: 'the token endpoint makes no sense', source: 'RFC 6749 §5.1' },
  { status: 504, verdict: 'down', says: 'the token endpoint fails', source: 'RFC 9110 §15' },
];

const TYPE = 'type.googleapis.com/';

const refusal = z.object({
  error: z.object({
    status: z.string().optional(),
    message: z.string().optional(),
    details: z
      .array(
        z.object({
          '@type': z.string(),
          errorCode: z.string().optional(),
          violations: z
            .array(z.object({ subject: z.string().optional(), description: z.string().optional() }))
            .optional(),
        }),
      )
      .optional(),
  }),
});

/** The code of the table: FCM's own, else Google's, with what its details say. Undefined when the body says nothing. */
export function fcmCode(answer: HttpAnswer): string | undefined {
  const said = refusal.safeParse(jsonOf(answer)).data?.error;
  if (!said) return undefined;
  const detail = (name: string) => said.details?.find((one) => one['@type'] === TYPE + name);
  const fcm = detail('google.firebase.fcm.v1.FcmError');
  const code = fcm?.errorCode ?? said.status;
  if (code === 'INVALID_ARGUMENT') {
    if (detail('google.rpc.BadRequest')) return 'INVALID_ARGUMENT.BadRequest';
    if (/too (big|large)/i.test(said.message ?? '')) return 'INVALID_ARGUMENT.too-big';
    return fcm ? 'INVALID_ARGUMENT.FcmError' : code;
  }
  if (code === 'QUOTA_EXCEEDED') {
    const violations = detail('google.rpc.QuotaFailure')?.violations ?? [];
    const ofDevice = violations.some(({ subject = '', description = '' }) =>
      /device/i.test(subject + description),
    );
    return ofDevice ? 'QUOTA_EXCEEDED.device' : code;
  }
  if (code === 'UNAVAILABLE' && answer.headers['retry-after'] !== undefined) return 'UNAVAILABLE.retry-after';
  return code;
}
