// The suite of presence in a real Redis, and what holds when edges die, come back, and older ones speak late.
import { type ChildProcess, spawn } from 'node:child_process';
import { createClient } from 'redis';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { type OwnRedis, startOwnRedis } from '../test/support/own-redis.ts';
import { presenceContract } from './presence.contract.ts';
import { RedisPresence } from './presence.redis.ts';
import type { UserKey, Whereabouts } from './presence.ts';

const LATER = { timeout: 30_000, interval: 20 };
const user = (userId: string): UserKey => ({ tenant: 'default', userId });
const nowhere: Whereabouts = { edges: [], foreground: false, vanishedAtMs: undefined, known: true };
const here: Whereabouts = { ...nowhere, edges: ['edge-a'], foreground: true };
const vanished: Whereabouts = { ...nowhere, vanishedAtMs: expect.any(Number) as number };

let redis: OwnRedis;
beforeAll(async () => {
  redis = await startOwnRedis();
});
afterAll(() => redis?.[Symbol.asyncDispose]());

async function raw(prefix: string) {
  return await createClient({ url: redis.url, keyPrefix: prefix }).connect();
}

/** A store that has been there for long: what it does not know is not. */
async function oldPrefix(): Promise<string> {
  const prefix = `${systemIds.uuid()}:`;
  const client = await raw(prefix);
  await client.hSet('presence', { epoch: 'old 1', at: `${systemClock.now()}` });
  await client.close();
  return prefix;
}

const open = (prefix: string) => new RedisPresence({ url: redis.url, prefix, log: silentLog });
const becomes = (presence: RedisPresence, userId: string, expected: Whereabouts) =>
  vi.waitFor(async () => expect((await presence.locate([user(userId)]))[0]).toEqual(expected), LATER);

presenceContract('Redis', async () => {
  const prefix = await oldPrefix();
  const two = [open(prefix), open(prefix)] as const;
  let opened = 0;
  return {
    open() {
      const presence = two[opened++ % 2] as RedisPresence;
      return {
        enter: presence.enter.bind(presence),
        leave: presence.leave.bind(presence),
        locate: presence.locate.bind(presence),
        leaseAgesMs: presence.leaseAgesMs.bind(presence),
        // Known is what was seen for a while: two that stay see sooner than one anew for each test.
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    },
    now: () => systemClock.now(),
    async [Symbol.asyncDispose]() {
      for (const each of two) await each[Symbol.asyncDispose]();
    },
  };
});

describe('an edge', () => {
  const started = new Set<ChildProcess>();
  afterAll(() => {
    for (const child of started) child.kill('SIGKILL');
  });
  function start(prefix: string, edge: string, ...userIds: string[]): ChildProcess {
    const file = new URL('./edge-with-users.fixture.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [file, redis.url, prefix, edge, ...userIds], { stdio: 'inherit' });
    started.add(child);
    child.once('exit', () => started.delete(child));
    return child;
  }

  test('that is killed has lost its users to the linger, and has no lease', async () => {
    const prefix = await oldPrefix();
    await using router = open(prefix);
    await using other = open(prefix);
    other.enter(user('bob'), 'edge-b', Activity.FOREGROUND);
    const child = start(prefix, 'edge-a', 'ada');
    await becomes(router, 'ada', here);
    const startedMs = systemClock.now();
    child.kill('SIGKILL');
    await becomes(router, 'ada', vanished);
    const [found] = await router.locate([user('ada')]);
    expect(found?.vanishedAtMs).toBeGreaterThan(startedMs - 2 * limits.presenceLeaseMs);
    expect(await router.leaseAgesMs(['edge-a', 'edge-b'])).toEqual([undefined, expect.any(Number)]);
    await becomes(router, 'bob', { ...here, edges: ['edge-b'] });
  });

  test('that was paused longer than its lease has its users again when it wakes up', async () => {
    const prefix = await oldPrefix();
    await using router = open(prefix);
    await using other = open(prefix);
    other.enter(user('bob'), 'edge-b', Activity.FOREGROUND);
    const child = start(prefix, 'edge-a', 'ada');
    await becomes(router, 'ada', here);
    child.kill('SIGSTOP');
    await becomes(router, 'ada', vanished);
    child.kill('SIGCONT');
    await becomes(router, 'ada', here);
    child.kill('SIGKILL');
  });

  test('that withdraws takes nobody for absent: its users are on their way elsewhere', async () => {
    const prefix = await oldPrefix();
    await using router = open(prefix);
    {
      await using edge = open(prefix);
      edge.enter(user('ada'), 'edge-a', Activity.FOREGROUND);
      await becomes(router, 'ada', here);
      edge.enter(user('eve'), 'edge-a', Activity.FOREGROUND);
      edge.leave(user('eve'), 'edge-a', true);
    }
    const found = await router.locate([user('ada'), user('eve'), user('bob')]);
    expect(found).toEqual([vanished, nowhere, nowhere]);
    expect(await router.leaseAgesMs(['edge-a'])).toEqual([undefined]);
  });

  test('that was started anew has those who are back, and the others linger', async () => {
    const prefix = await oldPrefix();
    await using old = open(prefix);
    old.enter(user('ada'), 'edge-a', Activity.FOREGROUND);
    old.enter(user('bob'), 'edge-a', Activity.FOREGROUND);
    await becomes(old, 'bob', here);
    await using next = open(prefix);
    next.enter(user('ada'), 'edge-a', Activity.BACKGROUND);
    await becomes(old, 'ada', { ...here, foreground: false });
    await becomes(old, 'bob', vanished);
  });

  test('whose older incarnation speaks late is not heard', async () => {
    const prefix = await oldPrefix();
    await using old = open(prefix);
    old.enter(user('ada'), 'edge-a', Activity.FOREGROUND);
    await becomes(old, 'ada', here);
    await using next = open(prefix);
    next.enter(user('ada'), 'edge-a', Activity.BACKGROUND);
    await becomes(old, 'ada', { ...here, foreground: false });
    old.leave(user('ada'), 'edge-a', true);
    old.enter(user('bob'), 'edge-a', Activity.FOREGROUND);
    // Said after it by the same process, so that it has been said itself.
    old.enter(user('eve'), 'edge-b', Activity.FOREGROUND);
    await becomes(next, 'eve', { ...here, edges: ['edge-b'] });
    await becomes(next, 'ada', { ...here, foreground: false });
    await becomes(next, 'bob', nowhere);
    // Once the newer one has gone, the older one is the edge again, and says what it has.
    await next[Symbol.asyncDispose]();
    await becomes(old, 'bob', here);
  });
});

test('a router that has just started does not take for absent whom it does not find', async () => {
  const prefix = await oldPrefix();
  await using edge = open(prefix);
  edge.enter(user('ada'), 'edge-a', Activity.FOREGROUND);
  await becomes(edge, 'ada', here);
  await using router = open(prefix);
  await vi.waitFor(
    async () => expect((await router.locate([user('ada')]))[0]?.edges).toEqual(['edge-a']),
    LATER,
  );
  expect((await router.locate([user('bob')]))[0]?.known).toBe(false);
  await becomes(router, 'bob', nowhere);
});

test('what was said does not stay for ever', async () => {
  const prefix = await oldPrefix();
  await using edge = open(prefix);
  for (const userId of ['here', 'closed', 'gone']) edge.enter(user(userId), 'edge-a', Activity.FOREGROUND);
  edge.leave(user('closed'), 'edge-a', true);
  edge.leave(user('gone'), 'edge-a', false);
  await becomes(edge, 'gone', vanished);
  const client = await raw(prefix);
  const keptMs = async (userId: string) => await client.pTTL(`user:default\u001f${userId}`);
  for (const userId of ['closed', 'gone']) {
    expect(await keptMs(userId)).toBeGreaterThan(0);
    expect(await keptMs(userId)).toBeLessThanOrEqual(limits.lingerMaxMs);
  }
  expect(await keptMs('here')).toBeGreaterThan(limits.lingerMaxMs);
  expect(await keptMs('here')).toBeLessThanOrEqual(limits.presenceKeptMs);
  await client.close();
});
