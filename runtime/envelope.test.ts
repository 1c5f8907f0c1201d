// What is sealed opens for what it was sealed for, with its own key, unchanged; everything else is refused alike.
import { describe, expect, test } from 'vitest';
import { makeKey, masterKeysOf, parseKey, seal, unseal } from './envelope.ts';

const key = makeKey();
const plain = Buffer.from('a secret');
const unreadable = expect.objectContaining({ reason: 'SECRETS_UNREADABLE' });

describe('what is sealed', () => {
  test('opens with its key for its purpose, and is never the same twice', () => {
    const sealed = seal(key, plain, ['provider', 'acme', 1]);
    expect(unseal(key, sealed, ['provider', 'acme', 1])).toEqual(plain);
    expect(seal(key, plain, ['provider', 'acme', 1])).not.toEqual(sealed);
    expect(sealed.includes(plain)).toBe(false);
  });

  test.each([
    ['another tenant', ['provider', 'other', 1]],
    ['another version', ['provider', 'acme', 2]],
    ['a number that is a text', ['provider', 'acme', '1']],
    ['parts that run together', ['provideracme', 1]],
    ['fewer parts', ['provider', 'acme']],
    ['nothing', []],
  ])('does not open for %s', (_what, sealedFor) => {
    const sealed = seal(key, plain, ['provider', 'acme', 1]);
    expect(() => unseal(key, sealed, sealedFor)).toThrow(unreadable);
  });

  test('does not open with another key, nor with any byte changed or missing', () => {
    const sealed = seal(key, plain, []);
    expect(() => unseal(makeKey(), sealed, [])).toThrow(unreadable);
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed);
      changed[at]! ^= 1;
      expect(() => unseal(key, changed, [])).toThrow(unreadable);
      expect(() => unseal(key, sealed.subarray(0, at), [])).toThrow(unreadable);
    }
  });
});

describe('master keys', () => {
  const [a, b] = [makeKey(), makeKey()];

  test('the first wraps, and all unwrap what they have wrapped', async () => {
    const old = await masterKeysOf([a]).wrap(key, ['acme']);
    const both = masterKeysOf([b, a]);
    expect(await both.unwrap(old, ['acme'])).toEqual(key);
    const wrapped = await both.wrap(key, ['acme']);
    expect(wrapped.masterKey).toBe(both.current);
    expect(await masterKeysOf([b]).unwrap(wrapped, ['acme'])).toEqual(key);
  });

  test('a key that is not there is named, and nothing of it is told', async () => {
    const old = await masterKeysOf([a]).wrap(key, ['acme']);
    const refused = await masterKeysOf([b])
      .unwrap(old, ['acme'])
      .catch((error: Error) => error);
    expect(refused).toEqual(unreadable);
    expect(String(refused)).toContain(old.masterKey);
    for (const text of ['base64', 'hex'] as const) expect(String(refused)).not.toContain(a.toString(text));
    await expect(masterKeysOf([a]).unwrap(old, ['other'])).rejects.toEqual(unreadable);
  });
});

test.each([
  ['32 bytes', makeKey().toString('base64'), true],
  ['32 bytes without padding', makeKey().toString('base64').replace('=', ''), true],
  ['31 bytes', Buffer.alloc(31).toString('base64'), false],
  ['33 bytes', Buffer.alloc(33).toString('base64'), false],
  ['hexadecimal', makeKey().toString('hex'), false],
  ['nothing', '', false],
])('a key of %s', (_what, text, good) => {
  expect(parseKey(text) !== undefined).toBe(good);
});
