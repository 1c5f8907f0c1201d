// Keys of an issuer whose URL is away: those that are kept are had at once, whatever strangers ask for meanwhile.
import { createServer, type ServerResponse } from 'node:http';
import { errors, exportJWK, generateKeyPair } from 'jose';
import { expect, onTestFinished, test } from 'vitest';
import { ManualClock } from './clock.manual.ts';
import { Jwks } from './jwks.ts';
import { limits } from './limits.ts';
import { silentLog } from './log.ts';

const token = { payload: '', signature: '' };
const asked = (kid: string) => ({ alg: 'ES256', kid });

test('who names a key that is not known does not wait for a URL that has failed', async () => {
  const { publicKey } = await generateKeyPair('ES256', { extractable: true });
  const set = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }] });
  let answer = (response: ServerResponse): unknown => response.end(set);
  const server = createServer((_request, response) => void answer(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address?.port}/jwks`;
  const clock = new ManualClock();
  using jwks = new Jwks({ url, clock, log: silentLog });
  await jwks.key(asked('k1'), token);

  answer = (response) => response.writeHead(500).end();
  clock.advance(limits.jwksAgainMs);
  await expect(jwks.key(asked('k2'), token)).rejects.toThrow(errors.JWKSNoMatchingKey);
  const hanging: ServerResponse[] = [];
  answer = (response) => hanging.push(response);
  clock.advance(limits.jwksRetryMs);
  await expect(jwks.key(asked('k2'), token)).rejects.toThrow(errors.JWKSNoMatchingKey);
  await expect.poll(() => hanging.length).toBe(1);
  // It was looked for all the same, and is known once the URL answers.
  hanging[0]?.end(set.replace('k1', 'k2'));
  await expect.poll(() => jwks.version()).toBe(2);
  await jwks.key(asked('k2'), token);
});
