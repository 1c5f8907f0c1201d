// A Redis that forgets, is away, or stands still is a hint less and no more: nobody who is here is told to be away.
import { createClient } from 'redis';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { type OwnRedis, startOwnRedis } from '../test/support/own-redis.ts';
import { RedisPresence } from './presence.redis.ts';
import type { UserKey, Whereabouts } from './presence.ts';

const LATER = { timeout: 30_000, interval: 20 };
const { FOREGROUND } = Activity;
const user = (userId: string): UserKey => ({ tenant: 'default', userId });
const [stays, elsewhere, goes, comes, absent] = ['stays', 'elsewhere', 'goes', 'comes', 'absent'].map(
  user,
) as [UserKey, UserKey, UserKey, UserKey, UserKey];
const asked = [stays, elsewhere, goes, comes, absent];
/** More than one batch of them. */
const many = Array.from({ length: limits.presenceBatchCount + 500 }, (_, n) => user(`u-${n}`));

let redis: OwnRedis;
beforeAll(async () => {
  redis = await startOwnRedis();
});
afterAll(() => redis?.[Symbol.asyncDispose]());

async function flush(): Promise<void> {
  const client = await createClient({ url: redis.url }).connect();
  await client.flushAll();
  await client.close();
}

/** Two edges in processes of their own, a router, and everybody found. */
async function mesh() {
  const prefix = `${systemIds.uuid()}:`;
  const stack = new AsyncDisposableStack();
  const [one, two, router] = [0, 1, 2].map(() =>
    stack.use(new RedisPresence({ url: redis.url, prefix, log: silentLog })),
  ) as [RedisPresence, RedisPresence, RedisPresence];
  for (const each of [stays, goes, ...many]) one.enter(each, 'edge-a', FOREGROUND);
  two.enter(elsewhere, 'edge-b', FOREGROUND);
  const edges = async () => (await router.locate(asked)).map((each) => (each.known ? each.edges : undefined));
  const lies: Whereabouts[] = [];
  /** Asks for as long as `work` takes: who does not move is never known to be away. */
  async function watchWhile(work: () => Promise<unknown>): Promise<void> {
    const stop = new AbortController();
    const watching = (async () => {
      while (!stop.signal.aborted) {
        const found = await router.locate([stays, elsewhere, ...many.slice(-2)]);
        lies.push(...found.filter(({ known, edges }) => known && edges.length === 0));
        await systemClock.sleep(5, stop.signal);
      }
    })();
    await work().finally(() => stop.abort());
    await watching;
  }
  const healed = (...expected: string[][]) =>
    vi.waitFor(async () => {
      expect(await edges()).toEqual(expected);
      const all = await router.locate(many);
      expect(all.every((each) => each.edges[0] === 'edge-a' && each.known)).toBe(true);
    }, LATER);
  const unknown = () =>
    vi.waitFor(async () => {
      const found = await router.locate(asked);
      expect(found.every(({ known }) => !known)).toBe(true);
      return found;
    }, LATER);
  await healed(['edge-a'], ['edge-b'], ['edge-a'], [], []);
  return {
    one,
    two,
    router,
    lies,
    watchWhile,
    healed,
    unknown,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describe('a Redis', () => {
  test('that has forgotten everything says so until every edge has said its users again', async () => {
    await using own = await mesh();
    await own.watchWhile(async () => {
      await flush();
      await own.unknown();
      await own.healed(['edge-a'], ['edge-b'], ['edge-a'], [], []);
    });
    expect(own.lies).toEqual([]);
  });

  test('that is away and comes back has everybody where they are by then', async () => {
    await using own = await mesh();
    await own.watchWhile(async () => {
      await redis.stop();
      const [found] = await own.unknown();
      expect(found).toMatchObject({ edges: [], vanishedAtMs: expect.any(Number) });
      own.one.leave(goes, 'edge-a', true);
      own.two.enter(comes, 'edge-b', FOREGROUND);
      await redis.start();
      await own.healed(['edge-a'], ['edge-b'], [], ['edge-b'], []);
    });
    expect(own.lies).toEqual([]);
  });

  test('that comes back empty is told again, with what changed meanwhile', async () => {
    await using own = await mesh();
    await own.watchWhile(async () => {
      await redis.lose();
      await own.unknown();
      own.one.leave(goes, 'edge-a', false);
      own.two.enter(comes, 'edge-b', FOREGROUND);
      await redis.start();
      await own.healed(['edge-a'], ['edge-b'], [], ['edge-b'], []);
    });
    expect(own.lies).toEqual([]);
  });

  test('that stands still for longer than the leases has not ended them', async () => {
    await using own = await mesh();
    await own.watchWhile(async () => {
      await redis.pause();
      const stoodMs = systemClock.monotonic();
      await own.unknown();
      own.two.enter(comes, 'edge-b', FOREGROUND);
      own.one.leave(goes, 'edge-a', true);
      await vi.waitFor(
        () => expect(systemClock.monotonic() - stoodMs).toBeGreaterThan(1.2 * limits.presenceLeaseMs),
        LATER,
      );
      await redis.resume();
      await own.healed(['edge-a'], ['edge-b'], [], ['edge-b'], []);
    });
    expect(own.lies).toEqual([]);
  });
});

test('without Redis nobody is known to be anywhere or away, and the answer comes in time', async () => {
  await using presence = new RedisPresence({ url: 'redis://127.0.0.1:1', log: silentLog });
  presence.enter(stays, 'edge-a', FOREGROUND);
  const found = await presence.locate([stays, absent]);
  const unknown = { edges: [], foreground: false, vanishedAtMs: expect.any(Number) as number, known: false };
  expect(found).toEqual([unknown, unknown]);
  expect(await presence.leaseAgesMs(['edge-a'])).toEqual([undefined]);
});
