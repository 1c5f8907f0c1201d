// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`, by HMAC-SHA256 over `id.timestamp.body`, with several secrets while one is replaced.
import { createHmac } from 'node:crypto';
import { limits } from '../../runtime/limits.ts';
import { forged, requireFresh, sameText } from '../receipt-check.ts';

/** `whsec_` and 24 to 64 random bytes in base64. Source: https://github.com/standard-webhooks/standard-webhooks, §Signature scheme. */
export function isWebhookSecret(text: string): boolean {
  const [, encoded = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  const { length } = Buffer.from(encoded, 'base64');
  return length >= 24 && length <= 64;
}

export interface WebhookHeaders {
  'webhook-id': string;
  /** Seconds since the epoch. */
  'webhook-timestamp': string;
  'webhook-signature': string;
}

function signature(secret: string, id: string, timestamp: string, body: Buffer): string {
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')}`;
}

/**
 * The headers of one call. `id`: the same for each try of the same message, so that the receiver can tell; without dots.
 * `secrets`: all that the receiver may still know, the newest first.
 */
export function signWebhook(
  id: string,
  nowMs: number,
  body: Buffer,
  secrets: readonly string[],
): WebhookHeaders {
  const timestamp = String(Math.floor(nowMs / 1000));
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': secrets.map((secret) => signature(secret, id, timestamp, body)).join(' '),
  };
}

/** The id of a call that bears the signature of one of the secrets, and is at most five minutes old. Throws RECEIPT_FORGED. */
export function verifyWebhook(
  headers: Readonly<Record<string, string | undefined>>,
  body: Buffer,
  secrets: readonly string[],
  nowMs: number,
): string {
  const id = headers['webhook-id'] ?? '';
  const timestamp = headers['webhook-timestamp'] ?? '';
  const given = (headers['webhook-signature'] ?? '').split(' ').slice(0, limits.webhookSignaturesCount);
  if (!/^[\w-]{1,128}$/.test(id) || !/^\d{1,12}$/.test(timestamp))
    throw forged('This call does not say what it is, or when it was made.');
  const wanted = secrets.map((secret) => signature(secret, id, timestamp, body));
  const matches = given.flatMap((one) => wanted.map((expected) => sameText(one, expected)));
  if (!matches.includes(true)) throw forged('This call does not bear a signature of its secret.');
  requireFresh(Number(timestamp) * 1000, nowMs, limits.receiptWindowMs);
  return id;
}
