// What every cursor store does: keeps the newest text per key, for whoever opens it next.
import { expect, test } from 'vitest';
import { type CursorStore, formatKept, keyOf, parseKept } from './cursors.ts';
import { Keeper } from './keeper.ts';

export interface StoreUnderTest {
  readonly store: CursorStore;
  /** The store as the next page or process finds it. */
  again(): CursorStore;
  /** Puts a text there as somebody else may have. */
  write(key: string, text: string): void | Promise<void>;
}

const noErrors = (error: unknown) => {
  throw error;
};

export function cursorStoreContract(open: () => StoreUnderTest | Promise<StoreUnderTest>): void {
  const key = keyOf('ada', 'phone');
  const kept = (seq: number) => ({ cursor: `c${seq}`, seq, owed: [[0, seq]] as const });

  test('is empty at first', async () => {
    const { store } = await open();
    expect(await store.load(key)).toBeUndefined();
  });

  test('keeps the newest for whoever opens it next, each user and device for itself', async () => {
    const { store, again } = await open();
    const keeper = new Keeper(store, noErrors);
    expect(await keeper.load(key)).toBeUndefined();
    for (let seq = 1; seq <= 50; seq++) keeper.save(kept(seq));
    await keeper.idle();
    expect(await new Keeper(again(), noErrors).load(key)).toEqual(kept(50));
    for (const other of [keyOf('ada', 'tablet'), keyOf('bob', 'phone')])
      expect(await new Keeper(again(), noErrors).load(other)).toBeUndefined();
  });

  test('forgets', async () => {
    const { store, again } = await open();
    const keeper = new Keeper(store, noErrors);
    await keeper.load(key);
    keeper.save(kept(1));
    keeper.forget();
    await keeper.idle();
    expect(await again().load(key)).toBeUndefined();
  });

  test.each([
    ['half a record', '{"v":1,"curs'],
    ['another version', '{"v":2,"cursor":"c","seq":1,"owed":[]}'],
    ['no object', 'null'],
    ['no cursor', '{"v":1,"cursor":"","seq":1,"owed":[]}'],
    ['a cursor that is too long', JSON.stringify({ v: 1, cursor: 'c'.repeat(257), seq: 1, owed: [] })],
    ['a position that is none', '{"v":1,"cursor":"c","seq":-1,"owed":[]}'],
    ['runs that are none', '{"v":1,"cursor":"c","seq":5,"owed":[[3,2]]}'],
    ['runs past the position', '{"v":1,"cursor":"c","seq":5,"owed":[[3,9]]}'],
  ])('is as good as empty where there is %s', async (_name, text) => {
    const { write, again } = await open();
    await write(key, text);
    expect(await new Keeper(again(), noErrors).load(key)).toBeUndefined();
  });

  test('takes what the format makes', () => {
    expect(parseKept(formatKept(kept(7)))).toEqual(kept(7));
  });
}
