// Behaves like a push service and the browsers behind it: checks VAPID and headers, keeps one message a topic, and reads what it was sent.
import {
  createDecipheriv,
  createECDH,
  createPublicKey,
  type ECDH,
  hkdfSync,
  randomBytes,
  verify,
} from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import { systemClock } from '../../runtime/clock.ts';
import { systemIds } from '../../runtime/ids.ts';
import {
  type FakeAnswer,
  type FakeRequest,
  type FakeServer,
  startFakeServer,
} from '../http-server.fixture.ts';

const keys = createECDH('prime256v1');
keys.generateKeys();

export const vapidAccount = {
  publicKey: keys.getPublicKey('base64url'),
  privateKey: keys.getPrivateKey('base64url').padStart(43, 'A'),
  subject: 'mailto:mesh@example.org',
} as const;

export interface BrowserSubscription {
  endpoint: string;
  expirationTime: null;
  keys: { p256dh: string; auth: string };
}

export interface PushedMessage {
  ttl: number;
  urgency: string | undefined;
  topic: string | undefined;
  words: { type?: string; nid?: string; aid?: string; [key: string]: unknown };
}

export interface FakePushService extends AsyncDisposable {
  readonly server: FakeServer;
  readonly messages: readonly PushedMessage[];
  /** A browser subscribes, with the key of the account. */
  subscribe(): BrowserSubscription;
  unsubscribe(subscription: BrowserSubscription): void;
  taken(): readonly string[];
  cleared(): readonly string[];
}

const newBrowser = (): Browser => {
  const ecdh = createECDH('prime256v1');
  ecdh.generateKeys();
  return { ecdh, auth: randomBytes(16), gone: false };
};

/** A browser that every push service knows, at this path. */
const known = newBrowser();
const KNOWN_PATH = '/push/known?v=1';

const subscriptionOf = ({ ecdh, auth }: Browser, endpoint: string): BrowserSubscription => ({
  endpoint,
  expirationTime: null,
  keys: { p256dh: ecdh.getPublicKey('base64url'), auth: auth.toString('base64url') },
});

/** The subscription of a browser that every push service knows; `origin`: which of them. */
export const knownSubscription = (origin: string): BrowserSubscription =>
  subscriptionOf(known, origin + KNOWN_PATH);

interface Browser {
  ecdh: ECDH;
  auth: Buffer;
  gone: boolean;
}

const derive = (secret: Buffer, salt: Buffer, info: Buffer | string, length: number) =>
  Buffer.from(hkdfSync('sha256', secret, salt, info, length));

/** RFC 8291 from the browser's side. Throws when it was not encrypted for it. */
export function decryptBy({ ecdh, auth }: Pick<Browser, 'ecdh' | 'auth'>, body: Buffer): Buffer {
  const salt = body.subarray(0, 16);
  const theirs = body.subarray(21, 21 + body.readUInt8(20));
  const sealed = body.subarray(21 + theirs.length);
  if (sealed.length > body.readUInt32BE(16)) throw new Error('more than one record');
  const info = Buffer.concat([Buffer.from('WebPush: info\0'), ecdh.getPublicKey(), theirs]);
  const secret = derive(ecdh.computeSecret(theirs), auth, info, 32);
  const decipher = createDecipheriv(
    'aes-128-gcm',
    derive(secret, salt, 'Content-Encoding: aes128gcm\0', 16),
    derive(secret, salt, 'Content-Encoding: nonce\0', 12),
  );
  decipher.setAuthTag(sealed.subarray(-16));
  const text = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
  const end = text.findLastIndex((byte) => byte !== 0);
  if (text[end] !== 2) throw new Error('not the last record');
  return text.subarray(0, end);
}

/** What is wrong with the VAPID header, as a status; undefined: nothing. */
function vapidProblem(request: FakeRequest, origin: string, clock: Clock): number | undefined {
  const found = /^vapid t=([\w-]+)\.([\w-]+)\.([\w-]+), ?k=([\w-]+)$/.exec(
    request.headers.authorization ?? '',
  );
  if (!found) return 401;
  const [, header = '', claims = '', signature = '', k = ''] = found;
  if (k !== vapidAccount.publicKey) return 403;
  const point = Buffer.from(k, 'base64url');
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    x: point.subarray(1, 33).toString('base64url'),
    y: point.subarray(33).toString('base64url'),
  };
  const key = { key: createPublicKey({ format: 'jwk', key: jwk }), dsaEncoding: 'ieee-p1363' } as const;
  if (!verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url')))
    return 401;
  const { aud, exp, sub } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<
    string,
    unknown
  >;
  const leftS = Number(exp) - clock.now() / 1000;
  const fine = aud === origin && leftS > 0 && leftS <= 86_400 && /^(mailto|https):/.test(String(sub));
  return fine ? undefined : 403;
}

export async function startFakePushService(
  clock: Clock = systemClock,
  tls?: { cert: string; key: string },
): Promise<FakePushService> {
  const browsers = new Map<string, Browser>([[KNOWN_PATH, { ...known }]]);
  const messages: PushedMessage[] = [];

  function judge(request: FakeRequest): FakeAnswer {
    const { method, url, headers, body } = request;
    const browser = browsers.get(url);
    if (method !== 'POST' || !browser) return { status: 404, body: { errno: 102 } };
    if (browser.gone) return { status: 410, body: { errno: 106 } };
    const problem = vapidProblem(request, server.url, clock);
    if (problem !== undefined) return { status: problem, body: { errno: 109 } };
    const { ttl, urgency, topic } = headers;
    if (!/^\d+$/.test(ttl ?? '') || headers['content-encoding'] !== 'aes128gcm')
      return { status: 400, body: { errno: 111 } };
    if (topic !== undefined && !/^[A-Za-z0-9]{1,32}$/.test(topic))
      return { status: 400, body: { errno: 113 } };
    if (body.length > 4_096) return { status: 413, body: { errno: 104 } };
    const words = JSON.parse(decryptBy(browser, body).toString()) as PushedMessage['words'];
    messages.push({ ttl: Number(ttl), urgency, topic, words });
    return { status: 201, headers: { location: `${server.url}/m/${systemIds.uuid()}` } };
  }

  const server = await startFakeServer(judge, tls);
  const aids = (type: string) =>
    messages.flatMap(({ words }) => (words.type === type && words.aid ? [words.aid] : []));
  const fake: FakePushService = {
    server,
    messages,
    subscribe() {
      const browser = newBrowser();
      const path = `/push/${systemIds.uuid()}?v=1`;
      browsers.set(path, browser);
      return subscriptionOf(browser, server.url + path);
    },
    unsubscribe({ endpoint }) {
      const browser = browsers.get(endpoint.slice(server.url.length));
      if (browser) browser.gone = true;
    },
    taken: () => aids('notification'),
    cleared: () => [...new Set(aids('clear'))].filter((aid) => fake.taken().includes(aid)),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return fake;
}
