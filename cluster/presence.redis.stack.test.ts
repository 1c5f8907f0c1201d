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

/** A store that has been there for long: what it does not know is not. */
async function oldPrefix(): Promise<string> {
  const prefix = `${randomUUID()}:`;
  const client = await raw(prefix);
  await client.set('epoch', 'old:1');
  await client.close();
  return prefix;
}

presenceContract('Redis', async () => {
  const prefix = await oldPrefix();
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

  test('users of an edge that was started anew linger until they are back', async () => {
    const prefix = await oldPrefix();
    await using old = open(prefix);
    const [ada, bob] = [user, { ...user, userId: 'bob' }];
    old.enter(ada, 'edge-a');
    old.enter(bob, 'edge-a');
    await vi.waitFor(async () => expect(await edgesOf(old)).toEqual(['edge-a']), LATER);
    await using next = open(prefix);
    next.enter(ada, 'edge-a');
    const back = { edges: ['edge-a'], vanishedAtMs: undefined };
    const lingers = { edges: [], vanishedAtMs: expect.any(Number) as number };
    await vi.waitFor(async () => expect(await next.locate([ada, bob])).toEqual([back, lingers]), LATER);
    const gone = { edges: [], vanishedAtMs: undefined };
    await vi.waitFor(async () => expect(await next.locate([ada, bob])).toEqual([back, gone]), LATER);
  });

  test('a Redis that has forgotten everything is told again', async () => {
    const prefix = await oldPrefix();
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
    // Not here, but not known to be away either; a renewal may be quicker than our look.
    await vi.waitFor(async () => {
      expect(await client.del(keys)).toBeGreaterThan(0);
      const lost = await edge.locate([user]);
      expect(lost).toEqual([{ edges: [], vanishedAtMs: expect.any(Number) as number }]);
    }, LATER);
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
    const unknown = { edges: [], vanishedAtMs: expect.any(Number) as number };
    expect(await presence.locate([user, user])).toEqual([unknown, unknown]);
    expect(systemClock.monotonic() - startedMs).toBeLessThan(1_000);
    // They linger once, from when the hints were lost, and not for ever.
    await vi.waitFor(
      async () => expect(await presence.locate([user])).toEqual([{ edges: [], vanishedAtMs: undefined }]),
      LATER,
    );
  });
});
