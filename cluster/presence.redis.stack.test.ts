// The suite of presence in a real Redis, and what holds when edges die and Redis forgets.
import { randomUUID } from 'node:crypto';
import { createClient } from 'redis';
import { describe, expect, inject, test, vi } from 'vitest';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { presenceContract } from './presence.contract.ts';
import { RedisPresence } from './presence.redis.ts';

const user = { tenant: 'default', userId: 'ada' };
const LATER = { timeout: 15_000, interval: 50 };

function open(prefix: string, url = inject('stack').redisUrl) {
  return new RedisPresence({ url, prefix, log: silentLog });
}

async function raw(prefix: string) {
  const client = createClient({ url: inject('stack').redisUrl, keyPrefix: prefix });
  client.on('error', () => {});
  return await client.connect();
}

presenceContract('Redis', async () => {
  const prefix = `${randomUUID()}:`;
  return {
    open: () => open(prefix),
    now: () => systemClock.now(),
    elapse: () => {},
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
});

describe('presence in Redis', () => {
  const edgesOf = async (presence: RedisPresence) => (await presence.locate([user]))[0]?.edges;

  test('the users of an edge whose lease has run out are nowhere', async () => {
    const prefix = `${randomUUID()}:`;
    await using router = open(prefix);
    const client = await raw(prefix);
    {
      await using edge = open(prefix);
      edge.enter(user, 'edge-a');
      await vi.waitFor(async () => expect(await edgesOf(router)).toEqual(['edge-a']), LATER);
    }
    // Its entry is still there; only the lease went with the process.
    expect(await client.hLen('user:default\u001fada')).toBe(1);
    await vi.waitFor(async () => expect(await edgesOf(router)).toEqual([]), LATER);
    await client.close();
  });

  test('the late leave of an older incarnation does not erase the newer enter', async () => {
    const prefix = `${randomUUID()}:`;
    await using old = open(prefix);
    old.enter(user, 'edge-a');
    await vi.waitFor(async () => expect(await edgesOf(old)).toEqual(['edge-a']), LATER);
    await using next = open(prefix);
    next.enter(user, 'edge-a');
    const client = await raw(prefix);
    const written = () => client.hGet('user:default\u001fada', 'edge-a');
    const before = await written();
    await vi.waitFor(async () => expect(await written()).not.toBe(before), LATER);
    const newer = await written();
    old.leave(user, 'edge-a', false);
    old.enter(user, 'edge-a');
    old.leave({ ...user, userId: 'bob' }, 'edge-a', true);
    old.enter({ ...user, userId: 'eve' }, 'edge-b');
    // What was said after it has arrived, so it has arrived itself.
    await vi.waitFor(async () => expect(await client.hLen('user:default\u001feve')).toBe(1), LATER);
    expect(await written()).toBe(newer);
    await vi.waitFor(async () => expect(await edgesOf(next)).toEqual(['edge-a']), LATER);
    await client.close();
  });

  test('a Redis that has forgotten everything is told again', async () => {
    const prefix = `${randomUUID()}:`;
    await using edge = open(prefix);
    const many = Array.from({ length: 3_000 }, (_, n) => ({ tenant: 'default', userId: `u-${n}` }));
    for (const each of many) edge.enter(each, 'edge-a');
    edge.enter(user, 'edge-a');
    await vi.waitFor(async () => expect(await edgesOf(edge)).toEqual(['edge-a']), LATER);
    const client = await raw(prefix);
    // FLUSHALL, but only of what is ours: the test shares its Redis.
    const keys = [
      'epoch',
      'presence:edge-a',
      ...[user, ...many].map(({ userId }) => `user:default\u001f${userId}`),
    ];
    expect(await client.del(keys)).toBe(3_003);
    expect(await edgesOf(edge)).toEqual([]);
    await vi.waitFor(async () => {
      const found = await edge.locate([...many, user]);
      expect(found.filter(({ edges }) => edges[0] === 'edge-a').length).toBe(3_001);
    }, LATER);
    await client.close();
  });

  test('without Redis nobody is here, soon, and nothing breaks', async () => {
    await using presence = open('x:', 'redis://127.0.0.1:1');
    presence.enter(user, 'edge-a');
    presence.leave(user, 'edge-a', false);
    const startedMs = systemClock.monotonic();
    expect(await presence.locate([user, user])).toEqual([
      { edges: [], vanishedAtMs: undefined },
      { edges: [], vanishedAtMs: undefined },
    ]);
    expect(systemClock.monotonic() - startedMs).toBeLessThan(1_000);
  });
});
