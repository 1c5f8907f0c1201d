// Cursor stores outside a browser: the contract, and what a client does when its store fails. IndexedDB: test/browser.
import { describe, expect, test } from 'vitest';
import { setUp } from './client.fixture.ts';
import { cursorStoreContract } from './cursors.contract.ts';
import { localStorageCursors } from './cursors.local-storage.ts';
import { memoryCursors } from './cursors.memory.ts';
import { Keeper } from './keeper.ts';

describe('in memory', () => {
  cursorStoreContract(() => {
    const store = memoryCursors();
    return { store, again: () => store, write: (key, text) => store.save(key, text) };
  });
});

describe('in localStorage', () => {
  cursorStoreContract(() => {
    const texts = new Map<string, string>();
    const storage = {
      getItem: (key: string) => texts.get(key) ?? null,
      setItem: (key: string, text: string) => void texts.set(key, text),
      removeItem: (key: string) => void texts.delete(key),
    };
    const again = () => localStorageCursors(storage);
    return { store: again(), again, write: storage.setItem };
  });
});

test('a slow store is written to once at a time, and gets the newest', async () => {
  const writes: string[] = [];
  const done: (() => void)[] = [];
  const keeper = new Keeper(
    {
      load: () => undefined,
      save: (_key, text) => {
        writes.push(JSON.parse(text).cursor);
        return new Promise((resolve) => done.push(resolve));
      },
      remove: () => {},
    },
    () => {},
  );
  await keeper.load('k');
  for (let seq = 1; seq <= 10; seq++) keeper.save({ cursor: `c${seq}`, seq, owed: [] });
  expect(writes).toEqual(['c1']);
  done.shift()?.();
  await Promise.resolve();
  await expect.poll(() => writes).toEqual(['c1', 'c10']);
  done.shift()?.();
  await keeper.idle();
});

test.each([
  [
    'throws',
    () => {
      throw new Error('quota');
    },
  ],
  ['rejects', () => Promise.reject(new Error('quota'))],
])('a store that %s is reported, and the client goes on without it', async (_name, fail) => {
  const { edge, pass, client } = setUp();
  const watched = client({ cursors: { load: fail, save: fail, remove: fail } });
  const seqs: number[] = [];
  watched.client.on('item', ({ seq }) => seqs.push(seq));
  watched.client.start();
  await pass(100);
  edge.add();
  await pass(500);
  expect(seqs).toEqual([1]);
  expect(edge.acked.size).toBe(1);
  expect(new Set(watched.errors)).toEqual(new Set(['CURSOR_STORE']));
  await watched.client.close();
});
