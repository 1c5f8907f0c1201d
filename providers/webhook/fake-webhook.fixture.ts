// A receiver of our generic webhook as docs/providers/webhook.md asks for it: checks the signature by itself, keeps each message once.
import { createHmac } from 'node:crypto';
import { type FakeServer, startFakeServer } from '../http-server.fixture.ts';
import type { ReceiptRequest } from '../kind.ts';

/** Of tests: 32 bytes each. */
export const webhookSecrets = [
  `whsec_${Buffer.alloc(32, 'new').toString('base64')}`,
  `whsec_${Buffer.alloc(32, 'old').toString('base64')}`,
] as const;

export interface FakeWebhook extends AsyncDisposable {
  readonly server: FakeServer;
  /** By the webhook's id, as they came. */
  readonly messages: ReadonlyMap<string, Record<string, unknown>>;
  taken(): readonly string[];
}

/** The spec's own steps, without our code. */
function signatureOf(secret: string, id: string, timestamp: string, body: Buffer): string {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const signed = `${id}.${timestamp}.${body.toString('utf8')}`;
  return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
}

/** `secret`: the one that this receiver knows. */
export async function startFakeWebhook(secret: string = webhookSecrets[1]): Promise<FakeWebhook> {
  const messages = new Map<string, Record<string, unknown>>();
  const server = await startFakeServer(({ method, headers, body }) => {
    const id = headers['webhook-id'] ?? '';
    const expected = signatureOf(secret, id, headers['webhook-timestamp'] ?? '', body);
    if (!headers['webhook-signature']?.split(' ').includes(expected)) return { status: 401 };
    if (method !== 'POST' || headers['content-type'] !== 'application/json') return { status: 415 };
    messages.set(id, JSON.parse(body.toString('utf8')));
    return { status: 200, body: { message_id: `gateway-${messages.size}` } };
  });
  return {
    server,
    messages,
    taken: () => [...messages.keys()],
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A call back of the receiver, signed with `secret`. */
export function webhookCall(body: Buffer, atMs: number, secret: string, id = 'evt_1'): ReceiptRequest {
  const timestamp = String(Math.floor(atMs / 1000));
  return {
    url: 'https://hooks.mesh.example/receipts/webhook',
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': signatureOf(secret, id, timestamp, body),
    },
    body,
  };
}
