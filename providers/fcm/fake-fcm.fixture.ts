// Behaves like FCM's HTTP v1 API and Google's token endpoint: wants a signed assertion, a token of its own, and the schema kept.
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../runtime/clock.ts';
import { systemClock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import { type H2FakeServer, type H2Reply, startH2FakeServer } from '../h2-server.fixture.ts';
import type { FakeAnswer, FakeRequest } from '../http-server.fixture.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** A service account as Google's console hands it out. */
export const fcmAccount = {
  type: 'service_account',
  project_id: 'carillon-tests',
  private_key_id: 'key-1',
  private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  client_email: 'mesh@carillon-tests.iam.gserviceaccount.com',
  client_id: '1234567890',
  token_uri: 'https://oauth2.googleapis.com/token',
} as const;

/** A device of a person who has deleted the app, and a token that never was one. */
export const unregisteredToken = 'gone:APA91b';
export const malformedToken = 'not-a-token';

const strings = z.record(z.string(), z.string());
const texts = z.strictObject({ title: z.string(), body: z.string(), image: z.url() }).partial();
const schema = z.strictObject({
  validate_only: z.boolean().optional(),
  message: z.strictObject({
    token: z.string().min(1),
    notification: texts.optional(),
    data: strings.optional(),
    android: z
      .strictObject({
        collapse_key: z.string(),
        priority: z.enum(['HIGH', 'NORMAL']),
        ttl: z.string().regex(/^\d+(\.\d{1,9})?s$/),
        notification: z.strictObject({ tag: z.string() }).partial(),
      })
      .partial()
      .optional(),
    apns: z
      .strictObject({
        headers: strings,
        payload: z.looseObject({ aps: z.looseObject({}) }),
        fcm_options: z.looseObject({}),
      })
      .partial()
      .optional(),
  }),
});

export type FcmPost = z.infer<typeof schema>['message'];

const TYPE = 'type.googleapis.com/';

/** As FCM says that it refuses. `fcm`: its own code, in the details; `field`: of google.rpc.BadRequest. */
export function fcmRefusal(
  status: number,
  canonical: string,
  { fcm, field, device, message }: { fcm?: string; field?: string; device?: true; message?: string } = {},
): FakeAnswer {
  const details = [
    ...(fcm ? [{ '@type': `${TYPE}google.firebase.fcm.v1.FcmError`, errorCode: fcm }] : []),
    ...(field
      ? [
          {
            '@type': `${TYPE}google.rpc.BadRequest`,
            fieldViolations: [{ field, description: `Invalid value at '${field}'` }],
          },
        ]
      : []),
    ...(device
      ? [
          {
            '@type': `${TYPE}google.rpc.QuotaFailure`,
            violations: [{ subject: 'device:x', description: 'Device rate exceeded' }],
          },
        ]
      : []),
  ];
  const error = { code: status, message: message ?? `refused: ${canonical}`, status: canonical, details };
  return { status, headers: { 'content-type': 'application/json; charset=UTF-8' }, body: { error } };
}

/** FCM's documented bound, over keys and values. */
const MOST_BYTES = 4_096;
const sizeOf = (record: Record<string, string> = {}) =>
  Object.entries(record).reduce((sum, [key, value]) => sum + Buffer.byteLength(key + value), 0);
const RESERVED = /^(from|message_type)$|^(google|gcm)/;

export interface FakeTokens extends AsyncDisposable {
  readonly server: H2FakeServer;
  /** How long the access tokens that it gives out live, seconds. */
  lifeS: number;
  has(token: string): boolean;
  /** From now on nobody's token is valid. */
  revoke(): void;
}

export interface FakeFcm extends AsyncDisposable {
  readonly server: H2FakeServer;
  readonly messages: readonly FcmPost[];
  taken(): readonly string[];
  cleared(): readonly string[];
}

const wordsOf = (message: FcmPost) =>
  (message.data ?? message.apns?.payload ?? {}) as { type?: string; nid?: string; aid?: string };

/** The claims of an assertion that is signed by the account; undefined for any other. */
function claimsOf(assertion: string): Record<string, unknown> | undefined {
  const [header = '', claims = '', signature = ''] = assertion.split('.');
  const signed = Buffer.from(`${header}.${claims}`);
  const key = createPublicKey(publicKey.export({ type: 'spki', format: 'pem' }));
  if (!verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64url'))) return undefined;
  const { alg, kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as Record<string, unknown>;
  if (alg !== 'RS256' || kid !== fcmAccount.private_key_id) return undefined;
  return JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>;
}

function grants(request: FakeRequest, clock: Clock): boolean {
  const form = new URLSearchParams(request.body.toString());
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') return false;
  const claims = claimsOf(form.get('assertion') ?? '');
  const nowS = clock.now() / 1000;
  return (
    claims?.iss === fcmAccount.client_email &&
    claims.aud === fcmAccount.token_uri &&
    claims.scope === 'https://www.googleapis.com/auth/firebase.messaging' &&
    Number(claims.iat) <= nowS &&
    Number(claims.exp) > nowS &&
    Number(claims.exp) - Number(claims.iat) <= 3_600
  );
}

/** `clock`: what it takes for now. */
export async function startFakeTokens(clock: Clock = systemClock): Promise<FakeTokens> {
  const ends = new Map<string, number>();
  const server = await startH2FakeServer((request): H2Reply => {
    if (request.url !== '/token' || !grants(request, clock))
      return { status: 400, body: { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' } };
    const token = `ya29.${systemIds.uuid()}`;
    ends.set(token, clock.now() + tokens.lifeS * 1000);
    return { status: 200, body: { access_token: token, expires_in: tokens.lifeS, token_type: 'Bearer' } };
  });
  const tokens: FakeTokens = {
    server,
    lifeS: 3_600,
    has: (token) => (ends.get(token) ?? 0) > clock.now(),
    revoke: () => ends.clear(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return tokens;
}

export async function startFakeFcm(tokens: FakeTokens): Promise<FakeFcm> {
  const messages: FcmPost[] = [];
  const server = await startH2FakeServer(({ method, url, headers, body }): H2Reply => {
    const token = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? '';
    if (!tokens.has(token)) return fcmRefusal(401, 'UNAUTHENTICATED');
    if (method !== 'POST' || url !== `/v1/projects/${fcmAccount.project_id}/messages:send`)
      return fcmRefusal(404, 'NOT_FOUND');
    const parsed = schema.safeParse(JSON.parse(body.toString()));
    if (!parsed.success)
      return fcmRefusal(400, 'INVALID_ARGUMENT', {
        field: parsed.error.issues[0]?.path.join('.') ?? 'message',
      });
    const { message } = parsed.data;
    const reserved = Object.keys(message.data ?? {}).find((key) => RESERVED.test(key));
    if (reserved)
      return fcmRefusal(400, 'INVALID_ARGUMENT', {
        fcm: 'INVALID_ARGUMENT',
        field: `message.data.${reserved}`,
      });
    if (sizeOf(message.data) + sizeOf(message.notification as Record<string, string>) > MOST_BYTES)
      return fcmRefusal(400, 'INVALID_ARGUMENT', {
        fcm: 'INVALID_ARGUMENT',
        message: 'Android message is too big',
      });
    if (message.token === unregisteredToken) return fcmRefusal(404, 'NOT_FOUND', { fcm: 'UNREGISTERED' });
    if (message.token === malformedToken)
      return fcmRefusal(400, 'INVALID_ARGUMENT', { fcm: 'INVALID_ARGUMENT' });
    messages.push(message);
    return {
      status: 200,
      body: { name: `projects/${fcmAccount.project_id}/messages/0:${systemIds.uuid()}` },
    };
  });

  const aids = (type: string) =>
    messages.map(wordsOf).flatMap((words) => (words.type === type && words.aid ? [words.aid] : []));
  const fake: FakeFcm = {
    server,
    messages,
    taken: () => aids('notification'),
    cleared: () => [...new Set(aids('clear'))].filter((aid) => fake.taken().includes(aid)),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return fake;
}
