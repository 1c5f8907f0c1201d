// What opens a link, and what does not.
import { SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { limits } from './limits.ts';
import { linkAuthenticator, signLinkToken } from './link-token.ts';

const SECRET = 'a secret that the processes of one mesh share';
const NOW_MS = 1_800_000_000_000;

const ask = async (token: string | undefined, { secret = SECRET, nowMs = NOW_MS } = {}) => {
  const headers = new Headers(token === undefined ? {} : { authorization: `Bearer ${token}` });
  return await linkAuthenticator({ secret, nowMs: () => nowMs }).authenticate(headers);
};

test('a token of the mesh makes a peer, as long as it is fresh', async () => {
  const token = await signLinkToken(SECRET, 'router-1', NOW_MS);
  expect(await ask(token)).toMatchObject({ kind: 'peer', tenant: '', userId: '', scopes: [] });
  const late = { nowMs: NOW_MS + limits.linkTokenMs + limits.tokenLeewayMs + 1_000 };
  await expect(ask(token, late)).rejects.toMatchObject({ reason: 'TOKEN_EXPIRED' });
  await expect(ask(token, { nowMs: NOW_MS - limits.tokenLeewayMs - 1_000 })).rejects.toMatchObject({
    reason: 'UNAUTHENTICATED',
  });
});

test('nothing else does: no token, another secret, what the secret signs for others', async () => {
  const sign = (payload: Record<string, unknown>, header = {}) =>
    new SignJWT({
      iss: 'carillon',
      sub: 'router-1',
      iat: NOW_MS / 1_000,
      exp: NOW_MS / 1_000 + 60,
      ...payload,
    })
      .setProtectedHeader({ alg: 'HS256', typ: 'carillon-link+jwt', ...header })
      .sign(new TextEncoder().encode(SECRET));
  const tokens = [
    undefined,
    'none',
    await signLinkToken('another secret of another mesh entirely', 'router-1', NOW_MS),
    // With the secret itself for a key, as tokens of users are signed.
    await sign({ aud: 'carillon:link' }),
    await sign({ tenant: 'default' }, { typ: 'JWT' }),
    `${(await signLinkToken(SECRET, 'router-1', NOW_MS)).slice(0, -2)}xx`,
  ];
  for (const token of tokens) {
    const asked = async () => ask(token);
    await expect(asked()).rejects.toMatchObject({ reason: 'UNAUTHENTICATED' });
  }
});

test('without a secret everybody who reaches the port is a peer', async () => {
  const open = linkAuthenticator({ nowMs: () => NOW_MS });
  expect(await open.authenticate(new Headers())).toMatchObject({ kind: 'peer' });
});
