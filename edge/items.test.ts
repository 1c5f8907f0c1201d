// Items are read once, kept while they fit, and never all at once when they are large.
import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { Lane, NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Contents } from '../storage/inbox.ts';
import { ItemCache } from './items.ts';

function reader(body: string, most = Number.POSITIVE_INFINITY, kept: (id: string) => boolean = () => true) {
  const reads: string[][] = [];
  const read = (ids: readonly string[]): Promise<Contents> => {
    reads.push([...ids]);
    const there = ids.filter(kept);
    const found = there.slice(0, most).map((id) => ({
      id,
      lane: Lane.NORMAL,
      category: 'c',
      createdAtMs: 1,
      payload: toBinary(NotificationSchema, create(NotificationSchema, { content: { title: id, body } })),
      traceparent: undefined,
    }));
    return Promise.resolve({ found, complete: found.length === there.length });
  };
  return { reads, cache: new ItemCache(read) };
}

const row = (notificationId: string) => ({
  at: 1,
  firstSeq: 1,
  notificationId,
  seen: false,
  read: false,
  archived: false,
  atMs: 1,
});

test('what was read is not read again, and its bytes are shared', async () => {
  const { reads, cache } = reader('x');
  const first = await cache.load(new Set(['a', 'b']));
  const second = await cache.load(new Set(['b', 'c']));
  expect(reads).toEqual([['a', 'b'], ['c']]);
  expect(second.tail(row('b'))!.bytes).toBe(first.tail(row('b'))!.bytes);
});

test('what a read did not reach is left for another one; what is gone is not waited for', async () => {
  const { cache } = reader('x', 2, (id) => id !== 'gone');
  const loaded = await cache.load(new Set(['gone', 'a', 'b', 'c']));
  expect(['gone', 'a', 'b', 'c'].map((id) => loaded.beyond(id))).toEqual([false, false, false, true]);
  expect(loaded.tail(row('gone'))).toBeUndefined();
  expect((await cache.load(new Set(['gone', 'c']))).beyond('gone')).toBe(false);
});

test('a long list is read in parts', async () => {
  const { cache, reads } = reader('x');
  const ids = Array.from({ length: limits.contentReadCount + 5 }, (_, index) => `n${index}`);
  const loaded = await cache.load(new Set(ids));
  expect(reads[0]).toHaveLength(limits.contentReadCount);
  expect(ids.filter((id) => loaded.beyond(id))).toHaveLength(5);
  const rest = await cache.load(new Set(ids.slice(-5)));
  expect(ids.slice(-5).every((id) => rest.tail(row(id)) !== undefined)).toBe(true);
});

test('the cache holds so many bytes, the least recently used go first', async () => {
  const body = 'x'.repeat(30_000);
  const { reads, cache } = reader(body);
  const fits = Math.floor(limits.itemCacheBytes / (2 * body.length + 500));
  await cache.load(new Set(['kept', 'dropped']));
  for (let at = 0; at < fits + 5; at++) {
    await cache.load(new Set(['kept']));
    await cache.load(new Set([`filler-${at}`]));
  }
  reads.length = 0;
  await cache.load(new Set(['kept', 'dropped']));
  expect(reads).toEqual([['dropped']]);
});
