// Behaves like APNs: wants a token of the account's key that is neither old nor changed too often, and headers and payload as Apple has them.
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import { systemClock } from '../../runtime/clock.ts';
import { isUuid } from '../../runtime/ids.ts';
import {
  type H2FakeOptions,
  type H2FakeRequest,
  type H2FakeServer,
  startH2FakeServer,
} from '../h2-server.fixture.ts';
import type { FakeAnswer } from '../http-server.fixture.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

export const apnsAccount = {
  key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  keyId: 'ABC123DEFG',
  teamId: 'DEF123GHIJ',
  topic: 'org.example.shop',
} as const;

/** A device on which the app was deleted at `goneAtMs`, and a token that never was one. */
export const goneToken = 'dead'.repeat(16);
export const goneAtMs = 1_700_000_000_000;
export const badToken = 'bad0'.repeat(16);

export interface ApnsPush {
  token: string;
  headers: Readonly<Record<string, string>>;
  payload: { aps: Record<string, unknown>; type?: string; nid?: string; aid?: string };
}

export interface FakeApns extends AsyncDisposable {
  readonly server: H2FakeServer;
  readonly pushes: readonly ApnsPush[];
  taken(): readonly string[];
  cleared(): readonly string[];
}

/** As APNs says that it refuses. */
export const apnsRefusal = (status: number, reason: string, timestamp?: number): FakeAnswer => ({
  status,
  headers: { 'apns-id': 'eabeae54-14a8-11e5-b60b-1697f925ec7b' },
  body: { reason, ...(timestamp !== undefined && { timestamp }) },
});

const text = (part = '') => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;

/** When the token was made, milliseconds; or what is wrong with it. */
function issuedMs(authorization: string, clock: Clock): number | string {
  const [header, claims, signature = ''] = authorization.replace(/^bearer /i, '').split('.');
  if (!header || !claims) return 'MissingProviderToken';
  const key = {
    key: createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })),
    dsaEncoding: 'ieee-p1363',
  } as const;
  const signed = Buffer.from(`${header}.${claims}`);
  if (!verify('sha256', signed, key, Buffer.from(signature, 'base64url'))) return 'InvalidProviderToken';
  const { alg, kid } = text(header);
  const { iss, iat } = text(claims);
  if (alg !== 'ES256' || kid !== apnsAccount.keyId || iss !== apnsAccount.teamId)
    return 'InvalidProviderToken';
  const ms = Number(iat) * 1000;
  const ageMs = clock.now() - ms;
  return ageMs < -1_000 || ageMs > 3_600_000 ? 'ExpiredProviderToken' : ms;
}

function wrongHeader(headers: Readonly<Record<string, string>>): string | undefined {
  const {
    'apns-topic': topic,
    'apns-id': id,
    'apns-push-type': type,
    'apns-priority': priority = '10',
  } = headers;
  if (topic === undefined) return 'MissingTopic';
  if (topic !== apnsAccount.topic) return 'TopicDisallowed';
  if (id !== undefined && !isUuid(id)) return 'BadMessageId';
  if (type !== 'alert' && type !== 'background') return 'InvalidPushType';
  if (!['1', '5', '10'].includes(priority) || (type === 'background' && priority !== '5'))
    return 'BadPriority';
  if (!/^\d{1,10}$/.test(headers['apns-expiration'] ?? '0')) return 'BadExpirationDate';
  if (Buffer.byteLength(headers['apns-collapse-id'] ?? '') > 64) return 'BadCollapseId';
  return undefined;
}

export async function startFakeApns(
  clock: Clock = systemClock,
  options: H2FakeOptions = {},
): Promise<FakeApns> {
  const pushes: ApnsPush[] = [];
  const lastToken = new Map<number, { authorization: string; ms: number }>();

  function judge({ method, url, headers, body, connection }: H2FakeRequest): FakeAnswer {
    if (method !== 'POST') return apnsRefusal(405, 'MethodNotAllowed');
    const { authorization = '' } = headers;
    const ms = issuedMs(authorization, clock);
    if (typeof ms === 'string') return apnsRefusal(403, ms);
    const last = lastToken.get(connection);
    if (last && last.authorization !== authorization && ms - last.ms < 1_200_000)
      return apnsRefusal(429, 'TooManyProviderTokenUpdates');
    lastToken.set(connection, { authorization, ms });
    const wrong = wrongHeader(headers);
    if (wrong) return apnsRefusal(400, wrong);
    const token = /^\/3\/device\/([0-9a-f]+)$/i.exec(url)?.[1];
    if (!token) return apnsRefusal(404, 'BadPath');
    if (body.length > 4_096) return apnsRefusal(413, 'PayloadTooLarge');
    if (body.length === 0) return apnsRefusal(400, 'PayloadEmpty');
    if (token === goneToken) return apnsRefusal(410, 'Unregistered', goneAtMs);
    if (token === badToken) return apnsRefusal(400, 'BadDeviceToken');
    pushes.push({ token, headers, payload: JSON.parse(body.toString()) as ApnsPush['payload'] });
    return { status: 200, headers: { 'apns-id': headers['apns-id'] ?? '' } };
  }

  const server = await startH2FakeServer(judge, options);
  const ids = (type: string) =>
    pushes.filter(({ payload }) => payload.type === type).map(({ payload }) => payload.aid ?? '');
  const fake: FakeApns = {
    server,
    pushes,
    taken: () =>
      pushes.filter(({ payload }) => payload.type !== 'clear').map(({ headers }) => headers['apns-id'] ?? ''),
    cleared: () => [...new Set(ids('clear'))].filter((aid) => fake.taken().includes(aid)),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return fake;
}
