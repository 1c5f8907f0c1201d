// Access tokens of Google for a service account: a signed assertion is exchanged for one (RFC 7523), an hour at a time.
import { createPrivateKey } from 'node:crypto';
import { SignJWT } from 'jose';
import { z } from 'zod';
import type { Clock } from '../../runtime/clock.ts';
import { limits } from '../../runtime/limits.ts';
import { outcomeOf } from '../answers.ts';
import type { Made, MakeToken } from '../credential.ts';
import { H2Client } from '../h2-client.ts';
import { type HttpAnswer, jsonOf, retryAfterMs } from '../http-call.ts';
import type { Outcome } from '../provider.ts';
import { fcmTokenAnswers } from './fcm-errors.ts';
import type { ServiceAccount } from './fcm-settings.ts';

const SCOPE = 'https://www.googleapis.com/auth/firebase.messaging';
/** The longest that Google lets an assertion live. */
const ASSERTION_S = 3_600;

const given = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]{1,8192}$/),
  expires_in: z.number().positive().max(86_400),
});
const refused = z.object({ error: z.string() });

export interface AccessTokens extends AsyncDisposable {
  make: MakeToken;
}

function madeOf(answer: HttpAnswer, nowMs: number): Made | { outcome: Outcome } {
  const said = jsonOf(answer);
  const token = given.safeParse(said).data;
  if (answer.status === 200 && token) {
    const lifeMs = token.expires_in * 1000;
    return {
      token: token.access_token,
      renewAtMs: nowMs + lifeMs - Math.min(limits.fcmTokenAheadMs, lifeMs / 2),
      // What is on its way when it ends would be refused.
      endsAtMs: nowMs + lifeMs - Math.min(limits.fcmTokenMs, lifeMs / 4),
    };
  }
  const { status, headers } = answer;
  const code = refused.safeParse(said).data?.error;
  return {
    outcome: outcomeOf(fcmTokenAnswers, { status, code, retryAfterMs: retryAfterMs(headers, nowMs) }),
  };
}

/** `tokenUrl`: where they are asked for; the assertion names the service account's own, as Google wants it. */
export function accessTokens(account: ServiceAccount, tokenUrl: string, clock: Clock): AccessTokens {
  const key = createPrivateKey(account.private_key);
  const client = new H2Client({ baseUrl: tokenUrl, clock, idleMs: limits.fcmIdleMs });

  async function assertion(): Promise<string> {
    const nowS = Math.floor(clock.now() / 1000);
    return new SignJWT({ scope: SCOPE })
      .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: account.private_key_id })
      .setIssuer(account.client_email)
      .setAudience(account.token_uri)
      .setIssuedAt(nowS)
      .setExpirationTime(nowS + ASSERTION_S)
      .sign(key);
  }

  return {
    async make(stopped) {
      const late = new AbortController();
      using _timer = clock.after(limits.fcmTokenMs, () => late.abort());
      const body = new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion: await assertion(),
      }).toString();
      const result = await client.call({
        path: '',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body,
        signal: AbortSignal.any([stopped, late.signal]),
      });
      if ('answer' in result) return madeOf(result.answer, clock.now());
      // Whatever became of this request, the message did not go out.
      const { outcome } = result;
      return { outcome: outcome.kind === 'config' ? outcome : { kind: 'down', reason: 'no access token' } };
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}
