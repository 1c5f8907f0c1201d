// Behaves like Twilio's Messages API: wants the account's credentials and a form, keeps what it takes, answers as Twilio does.
import { createHash } from 'node:crypto';
import { systemIds } from '../../runtime/ids.ts';
import { type FakeAnswer, type FakeServer, formOf, startFakeServer } from '../http-server.fixture.ts';
import { twilioSignature } from './twilio-signature.ts';

export const twilioAccount = {
  accountSid: `AC${'0a'.repeat(16)}`,
  authToken: 'twilio-token-of-tests',
  from: '+15005550006',
} as const;

export interface TwilioMessage {
  sid: string;
  to: string;
  body: string;
  validityS: number;
  callback: string;
}

export interface FakeTwilio extends AsyncDisposable {
  readonly server: FakeServer;
  readonly messages: readonly TwilioMessage[];
  /** The attempt ids in the callbacks. */
  taken(): readonly string[];
}

/** As Twilio says that it refuses. */
export const twilioRefusal = (status: number, code: number): FakeAnswer => ({
  status,
  body: {
    code,
    message: "The 'To' number +15005550001 is not a valid phone number.",
    more_info: `https://www.twilio.com/docs/errors/${code}`,
    status,
  },
});

export async function startFakeTwilio(): Promise<FakeTwilio> {
  const { accountSid, authToken } = twilioAccount;
  const messages: TwilioMessage[] = [];
  const authorization = `Basic ${Buffer.from(`${accountSid}:${authToken}`).toString('base64')}`;
  const server = await startFakeServer(({ method, url, headers, body }) => {
    if (headers.authorization !== authorization) return twilioRefusal(401, 20003);
    if (method !== 'POST' || url !== `/2010-04-01/Accounts/${accountSid}/Messages.json`)
      return twilioRefusal(404, 20404);
    const form = formOf(body);
    const to = form.get('To') ?? '';
    if (!/^\+[1-9]\d{6,14}$/.test(to)) return twilioRefusal(400, 21211);
    const text = form.get('Body') ?? '';
    if (text === '') return twilioRefusal(400, 21602);
    if (text.length > 1_600) return twilioRefusal(400, 21617);
    if (!form.get('From') && !form.get('MessagingServiceSid')) return twilioRefusal(400, 21603);
    const sid = `SM${createHash('md5').update(systemIds.uuid()).digest('hex')}`;
    const callback = form.get('StatusCallback') ?? '';
    messages.push({ sid, to, body: text, validityS: Number(form.get('ValidityPeriod') ?? 0), callback });
    return {
      status: 201,
      body: {
        account_sid: accountSid,
        sid,
        status: 'queued',
        to,
        body: text,
        error_code: null,
        num_segments: '1',
      },
    };
  });
  return {
    server,
    messages,
    taken: () => messages.map(({ callback }) => URL.parse(callback)?.searchParams.get('attempt') ?? ''),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A call back as Twilio makes it, signed over `signedUrl` (`url` when absent). */
export function twilioCall(url: string, fields: Record<string, string> | URLSearchParams, signedUrl = url) {
  const form = new URLSearchParams(fields);
  return {
    url,
    headers: {
      'content-type': 'application/x-www-form-urlencoded; charset=UTF-8',
      'x-twilio-signature': twilioSignature(twilioAccount.authToken, signedUrl, form),
    } as Record<string, string | undefined>,
    body: Buffer.from(form.toString()),
  };
}
