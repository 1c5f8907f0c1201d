// Behaves like Vonage's SMS API: HTTP 200 whatever it says, one answer for each part of a text; and signs what it calls back with.
import { randomBytes } from 'node:crypto';
import { type FakeAnswer, type FakeServer, formOf, startFakeServer } from '../http-server.fixture.ts';
import { vonageSignature } from './vonage-signature.ts';

export const vonageAccount = {
  apiKey: 'abcd1234',
  apiSecret: 'vonage-secret-of-tests',
  from: 'Carillon',
} as const;
export const vonageSecret = 'vonage-signing-secret-of-tests';

export interface FakeVonage extends AsyncDisposable {
  readonly server: FakeServer;
  readonly messages: readonly (Record<string, string> & { id: string })[];
  taken(): readonly string[];
}

/** As Vonage says that it refuses. */
export const vonageRefusal = (...statuses: string[]): FakeAnswer => ({
  status: 200,
  body: {
    'message-count': String(statuses.length),
    messages: statuses.map((status) => ({
      status,
      ...(status === '0'
        ? { 'message-id': randomBytes(8).toString('hex') }
        : { 'error-text': 'Bad +15005550001' }),
    })),
  },
});

function authorised(form: Record<string, string>): boolean {
  if (form.api_key !== vonageAccount.apiKey) return false;
  if (form.api_secret !== undefined) return form.api_secret === vonageAccount.apiSecret;
  return form.timestamp !== undefined && form.sig === vonageSignature(form, vonageSecret, 'sha256');
}

export async function startFakeVonage(): Promise<FakeVonage> {
  const messages: (Record<string, string> & { id: string })[] = [];
  const server = await startFakeServer(({ method, url, body }) => {
    if (method !== 'POST' || url !== '/sms/json') return { status: 404, body: 'not found' };
    const form = Object.fromEntries(formOf(body));
    if (!authorised(form)) return vonageRefusal('4');
    if (!form.to || !form.from || !form.text) return vonageRefusal('2');
    if (!/^[1-9]\d{6,14}$/.test(form.to)) return vonageRefusal('6');
    const id = randomBytes(8).toString('hex').toUpperCase();
    messages.push({ ...form, id });
    return {
      status: 200,
      body: {
        'message-count': '1',
        messages: [
          { to: form.to, 'message-id': id, status: '0', 'remaining-balance': '3.14', network: '12345' },
        ],
      },
    };
  });
  return {
    server,
    messages,
    taken: () => messages.map((message) => message['client-ref'] ?? ''),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
