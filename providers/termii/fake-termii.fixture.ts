// Behaves like Termii's messaging API: keys in the body, message ids of 19 digits that are no texts, sentences for errors.
import { createHmac, randomInt } from 'node:crypto';
import { z } from 'zod';
import { type FakeAnswer, type FakeServer, startFakeServer } from '../http-server.fixture.ts';
import type { ReceiptRequest } from '../kind.ts';

export const termiiAccount = { apiKey: 'TL-termii-key-of-tests', from: 'N-Alert' } as const;

/** https://developers.termii.com/messaging-api. */
const smsSchema = z.strictObject({
  api_key: z.string(),
  to: z.string().regex(/^[1-9]\d{6,14}$/),
  from: z.string().min(3).max(11),
  sms: z.string().min(1),
  type: z.literal('plain'),
  channel: z.enum(['dnd', 'generic', 'whatsapp']),
});

export type TermiiMessage = z.infer<typeof smsSchema> & { id: string };

export interface FakeTermii extends AsyncDisposable {
  readonly server: FakeServer;
  readonly messages: readonly TermiiMessage[];
}

export const termiiRefusal = (status: number, message: string): FakeAnswer => ({ status, body: { message } });

export async function startFakeTermii(): Promise<FakeTermii> {
  const messages: TermiiMessage[] = [];
  const server = await startFakeServer(({ method, url, body }) => {
    if (method !== 'POST' || url !== '/api/sms/send') return termiiRefusal(404, 'Not found');
    const sms = smsSchema.safeParse(JSON.parse(body.toString('utf8')));
    if (!sms.success) return termiiRefusal(422, 'The given data was invalid.');
    if (sms.data.api_key !== termiiAccount.apiKey) return termiiRefusal(401, 'Invalid API key');
    const id = `91228212${randomInt(10_000_000_000, 99_999_999_999)}`;
    messages.push({ ...sms.data, id });
    return {
      status: 200,
      body: `{"code":"ok","message_id":${id},"message":"Successfully Sent","balance":1047.57,"user":"Ada"}`,
    };
  });
  return { server, messages, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** A call back as Termii signs it. */
export function termiiCall(
  body: Buffer,
  { key = termiiAccount.apiKey, encoding = 'hex' }: { key?: string; encoding?: 'hex' | 'base64' } = {},
): ReceiptRequest {
  return {
    url: 'https://hooks.mesh.example/receipts/termii',
    headers: {
      'content-type': 'application/json',
      'x-termii-signature': createHmac('sha512', key).update(body).digest(encoding),
    },
    body,
  };
}
