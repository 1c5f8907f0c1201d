// The settings of Web Push: the key pair that browsers subscribe with, who to write to about it, and where endpoints may lead.
import { createECDH, createPrivateKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { reaches } from './subscription.ts';

/** The public key of a private one, as browsers want it; undefined when it is none. */
function publicOf(privateKey: string): Buffer | undefined {
  try {
    const ecdh = createECDH('prime256v1');
    ecdh.setPrivateKey(Buffer.from(privateKey, 'base64url'));
    return ecdh.getPublicKey();
  } catch {
    return undefined;
  }
}

/** Apple refuses a subject with spaces or brackets, and one that nobody can be reached at. */
const CONTACT = /^(mailto:[^\s<>@]+@[^\s<>@]+\.[^\s<>@]+|https:\/\/[^\s<>]+)$/;

export const webPushSettings = z
  .strictObject({
    /** As browsers are given it for `applicationServerKey`: 65 bytes in base64url. */
    publicKey: z.string().regex(/^[\w-]{87}$/, 'must be 65 bytes in base64url'),
    /** 32 bytes in base64url. */
    privateKey: z
      .string()
      .regex(/^[\w-]{43}$/, 'must be 32 bytes in base64url')
      .refine((text) => publicOf(text) !== undefined, 'must be a private key of P-256'),
    /** Who push services write to when something is wrong: RFC 8292. */
    subject: z.string().max(512).regex(CONTACT, 'must be mailto:somebody@example.org or an https URL'),
    endpoints: z.enum(reaches).default('known'),
  })
  .refine(({ publicKey, privateKey }) => publicOf(privateKey)?.toString('base64url') === publicKey, {
    path: ['publicKey'],
    error: 'must be the public key of privateKey',
  });

export type WebPushSettings = z.infer<typeof webPushSettings>;

/** Of settings that have passed. */
export function vapidKeyOf({ publicKey, privateKey }: WebPushSettings): KeyObject {
  const point = Buffer.from(publicKey, 'base64url');
  return createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: privateKey,
      x: point.subarray(1, 33).toString('base64url'),
      y: point.subarray(33).toString('base64url'),
    },
  });
}
