// What was asked for last is kept, the rest goes, and there is never more than the bound.
import { expect, test } from 'vitest';
import { Lru } from './lru.ts';

test('keeps at most its bound, and what was used last', () => {
  const lru = new Lru<number>(10);
  for (let n = 0; n < 1_000; n++) {
    lru.set(`${n}`, n);
    expect(lru.get('0')).toBe(0);
    expect(lru.size).toBeLessThanOrEqual(10);
  }
  for (let n = 996; n < 1_000; n++) expect(lru.get(`${n}`)).toBe(n);
  expect(lru.get('500')).toBeUndefined();
});

test('the newest value counts, wherever the older one was; what is deleted is gone', () => {
  const lru = new Lru<string>(4);
  lru.set('a', 'old');
  for (const key of ['b', 'c']) lru.set(key, key);
  lru.set('a', 'new');
  expect(lru.get('a')).toBe('new');
  expect(lru.size).toBe(3);
  lru.delete('a');
  lru.delete('b');
  expect([lru.get('a'), lru.get('b'), lru.get('c')]).toEqual([undefined, undefined, 'c']);
});
