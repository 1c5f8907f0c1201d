// The token of a browser: its PushSubscription as JSON. Says where it leads and how to encrypt for it, or that it is none.
import { ECDH } from 'node:crypto';
import { z } from 'zod';
import { limits } from '../../runtime/limits.ts';
import { mayBePublic } from '../webhook/public-address.ts';

/**
 * Where endpoints may lead. `known`: the push services of browsers. `public`: any https URL on the public internet.
 * `any`: also private addresses and plain http, for tests.
 */
export const reaches = ['known', 'public', 'any'] as const;
export type Reach = (typeof reaches)[number];

export interface Subscription {
  endpoint: URL;
  /** Uncompressed point on P-256, 65 bytes. */
  publicKey: Buffer;
  /** 16 bytes. */
  auth: Buffer;
  /** Milliseconds since the epoch; undefined: it does not end by itself. */
  endsAtMs: number | undefined;
}

/** Chrome, Edge, Opera, Samsung and others; Firefox; Safari; Edge on Windows. A dot in front: and what lies below. */
const SERVICES = [
  'fcm.googleapis.com',
  'jmt17.google.com',
  '.push.services.mozilla.com',
  '.push.apple.com',
  '.notify.windows.com',
] as const;

const bytes = (count: number) =>
  z
    .string()
    .max(256)
    .regex(/^[\w+/-]+=*$/)
    .transform((text) => Buffer.from(text, 'base64url'))
    .refine(({ length }) => length === count);

const schema = z.object({
  endpoint: z.string().max(limits.webPushEndpointBytes),
  expirationTime: z.number().nullish(),
  keys: z.object({ p256dh: bytes(65), auth: bytes(16) }),
});

const isPlain = ({ username, password, hash }: URL) => username + password + hash === '';

function mayReach(url: URL, reach: Reach): boolean {
  if (!isPlain(url)) return false;
  if (reach === 'any') return url.protocol === 'https:' || url.protocol === 'http:';
  if (url.protocol !== 'https:') return false;
  if (reach === 'public') return mayBePublic(url.href);
  return SERVICES.some((name) =>
    name.startsWith('.') ? url.hostname.endsWith(name) : url.hostname === name,
  );
}

function isPoint(publicKey: Buffer): boolean {
  try {
    return ECDH.convertKey(publicKey, 'prime256v1').length === 65;
  } catch {
    return false;
  }
}

/** Undefined for what is no subscription, or leads where `reach` does not let it. */
export function parseSubscription(token: string, reach: Reach): Subscription | undefined {
  let json: unknown;
  try {
    json = JSON.parse(token);
  } catch {
    return undefined;
  }
  const parsed = schema.safeParse(json).data;
  const endpoint = parsed && URL.parse(parsed.endpoint);
  if (!endpoint || !mayReach(endpoint, reach) || !isPoint(parsed.keys.p256dh)) return undefined;
  return {
    endpoint,
    publicKey: parsed.keys.p256dh,
    auth: parsed.keys.auth,
    endsAtMs: parsed.expirationTime ?? undefined,
  };
}
