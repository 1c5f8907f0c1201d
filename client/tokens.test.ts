// Tokens: asked for once by many, renewed by their own length of life whatever the clocks say, and of one user only.
import { expect, test } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { clockOf, settled } from './clock.fixture.ts';
import { limits } from './limits.ts';
import { Tokens } from './tokens.ts';

const HOUR_S = 3_600;
/** `atS`: by the issuer's clock, which is nobody else's. */
const jwt = (claims: object): string =>
  `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.sig`;
const hourOf = (sub: string, number = 1): string =>
  jwt({ sub, tenant: 't', iat: 17, exp: 17 + HOUR_S, number });

function setUp(source: (asked: number, signal: AbortSignal) => string | Promise<string>) {
  const manual = new ManualClock();
  let asked = 0;
  const tokens = new Tokens((signal) => source(++asked, signal), clockOf(manual));
  return { manual, tokens, asked: () => asked };
}

test('many who ask at once ask the app once', async () => {
  const { tokens, asked } = setUp(() => 'token');
  expect(await Promise.all([tokens.get(), tokens.get(), tokens.get('token')])).toEqual([
    'token',
    'token',
    'token',
  ]);
  expect(asked()).toBe(1);
});

test('one is used for nine tenths of its life, however far off its issuer’s clock is', async () => {
  const { tokens, manual, asked } = setUp((number) => hourOf('ada', number));
  const first = await tokens.get();
  manual.advance(0.89 * HOUR_S * 1_000);
  expect(await tokens.get()).toBe(first);
  manual.advance(0.02 * HOUR_S * 1_000);
  expect(await tokens.get()).not.toBe(first);
  expect(asked()).toBe(2);
});

test('one that was refused is not used again; one that came meanwhile is', async () => {
  const { tokens, asked } = setUp((number) => `token-${number}`);
  const first = await tokens.get();
  const second = await tokens.get(first);
  expect(second).toBe('token-2');
  expect(await tokens.get(first)).toBe(second);
  expect(asked()).toBe(2);
});

test('says whose it is, as far as it can be read', async () => {
  for (const [token, user] of [
    [hourOf('ada'), '["t","ada"]'],
    [jwt({ sub: 'jürg-😀' }), '["","jürg-😀"]'],
    ['opaque', ''],
    ['a.b.c', ''],
    [`a.${btoa('null')}.c`, ''],
  ] as const) {
    const { tokens } = setUp(() => token);
    await tokens.get();
    expect(tokens.user).toBe(user);
  }
});

test('another user’s is refused for good', async () => {
  const { tokens } = setUp((number) => hourOf(number === 1 ? 'ada' : 'bob'));
  await tokens.get();
  await expect(tokens.renewed()).rejects.toMatchObject({ failure: { reason: 'OTHER_USER', remedy: 'none' } });
});

test('a callback that hangs is given up, and told so; the next one is asked anew', async () => {
  let told = false;
  const { tokens, manual } = setUp((number, signal) => {
    if (number > 1) return 'token';
    signal.addEventListener('abort', () => {
      told = true;
    });
    return new Promise(() => {});
  });
  const hanging = tokens.get().catch(({ reason }: { reason: string }) => reason);
  await settled();
  manual.advance(limits.tokenMs);
  expect(await hanging).toBe('NO_TOKEN');
  expect(told).toBe(true);
  expect(await tokens.get()).toBe('token');
});

test.each([[''], [undefined], [7]])('%j is no token', async (value) => {
  const { tokens } = setUp(() => value as string);
  await expect(tokens.get()).rejects.toMatchObject({ reason: 'NO_TOKEN' });
});
