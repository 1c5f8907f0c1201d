// The suite of membership in a real Redis, and what holds when processes die and Redis is away or forgets.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createClient } from 'redis';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { type OwnRedis, startOwnRedis } from '../test/support/own-redis.ts';
import { membershipContract } from './membership.contract.ts';
import { RedisMembership } from './membership.redis.ts';
import type { Member, View } from './membership.ts';

const LATER = { timeout: 30_000, interval: 20 };

let redis: OwnRedis;
beforeAll(async () => {
  redis = await startOwnRedis();
});
afterAll(() => redis?.[Symbol.asyncDispose]());

const member = (node: string, incarnation = '0001'): Member => ({
  role: 'edge',
  node,
  incarnation,
  address: 'h:1',
  url: '',
  weight: 1,
  zone: '',
});
const newPrefix = () => `${systemIds.uuid()}:`;
const open = (prefix: string, url = redis.url) => new RedisMembership({ url, prefix, log: silentLog });
const nodesOf = (view: View) => view.members.map(({ node }) => node);
const sees = (membership: RedisMembership, ...nodes: string[]) =>
  vi.waitFor(() => expect(nodesOf(membership.view())).toEqual(nodes), LATER);

/** The sizes of the views that come from now on; none may be smaller than what nobody left. */
function watched(membership: RedisMembership): { least: number } {
  const seen = { least: Number.POSITIVE_INFINITY };
  membership.watch(({ members }) => {
    seen.least = Math.min(seen.least, members.length);
  });
  return seen;
}

async function flush(): Promise<void> {
  const client = createClient({ url: redis.url });
  await client.connect();
  await client.flushAll();
  await client.close();
}

membershipContract('Redis', async () => {
  const prefix = newPrefix();
  return { open: () => open(prefix), [Symbol.asyncDispose]: () => Promise.resolve() };
});

describe('a process', () => {
  const started = new Set<ChildProcess>();
  afterAll(() => {
    for (const child of started) child.kill('SIGKILL');
  });
  function start(prefix: string, of: Member): ChildProcess {
    const file = new URL('./member.fixture.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [file, redis.url, prefix, JSON.stringify(of)], {
      stdio: 'inherit',
    });
    started.add(child);
    child.once('exit', () => started.delete(child));
    return child;
  }

  test('that is killed is gone for every watcher once its lease has ended; one that leaves, at once', async () => {
    const prefix = newPrefix();
    await using one = open(prefix);
    await using two = open(prefix);
    await using _ = await one.announce(member('stays'));
    const killed = start(prefix, member('killed'));
    const leaves = start(prefix, member('leaves'));
    await sees(one, 'killed', 'leaves', 'stays');
    await sees(two, 'killed', 'leaves', 'stays');
    const exited = once(leaves, 'exit');
    leaves.kill('SIGTERM');
    await exited;
    killed.kill('SIGKILL');
    await sees(one, 'stays');
    await sees(two, 'stays');
    // What a mesh has for it; the numbers, since how long it took here says how busy this machine is.
    expect(limits.membershipLeaseMs + limits.membershipLookMs).toBeLessThan(3_000 - limits.membershipRenewMs);
  });

  test('that was paused for longer than its lease is a member again by itself when it wakes up', async () => {
    const prefix = newPrefix();
    await using watcher = open(prefix);
    await using _ = await watcher.announce(member('stays'));
    const paused = start(prefix, member('paused'));
    await sees(watcher, 'paused', 'stays');
    paused.kill('SIGSTOP');
    await sees(watcher, 'stays');
    paused.kill('SIGCONT');
    await sees(watcher, 'paused', 'stays');
    // Meanwhile another one has taken its name: what wakes up does not take it back.
    paused.kill('SIGSTOP');
    await sees(watcher, 'stays');
    await using __ = await watcher.announce(member('paused', '0002'));
    paused.kill('SIGCONT');
    await watcher.refresh();
    const seen = new Set<string | undefined>();
    watcher.watch(({ members }) => seen.add(members.find(({ node }) => node === 'paused')?.incarnation));
    const left = once(paused, 'exit');
    paused.kill('SIGTERM');
    await left;
    await watcher.refresh();
    expect([...seen]).toEqual(['0002']);
  });
});

describe('a Redis', () => {
  async function mesh(prefix: string) {
    const stack = new AsyncDisposableStack();
    const all = ['a', 'b', 'c'].map(() => stack.use(open(prefix)));
    for (const [index, node] of ['a', 'b', 'c'].entries())
      stack.use(await (all[index] as RedisMembership).announce(member(node)));
    for (const each of all) await sees(each, 'a', 'b', 'c');
    return { all, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  }

  test('that is away leaves the last view as it is, and says so when asked', async () => {
    await using own = await mesh(newPrefix());
    const [one] = own.all as [RedisMembership];
    const before = one.view();
    const seen = watched(one);
    await redis.stop();
    await expect(one.refresh()).rejects.toMatchObject({ reason: 'CLUSTER_UNAVAILABLE' });
    expect(one.view()).toBe(before);
    await redis.start();
    // All its leases have run out by its clock; that is no death.
    for (const each of own.all)
      await vi.waitFor(async () => expect(await each.refresh()).toEqual(before), LATER);
    expect(seen.least).toBe(3);
  });

  test('that has forgotten everything is told again, and the view never shrinks meanwhile', async () => {
    const prefix = newPrefix();
    await using own = await mesh(prefix);
    const before = own.all.map((each) => each.view());
    const seen = own.all.map(watched);
    await flush();
    for (const [index, each] of own.all.entries()) {
      const view = await each.refresh();
      expect(view.hash).toBe(before[index]?.hash);
      expect(view.number).toBeGreaterThan(before[index]?.number ?? 0n);
    }
    await using fresh = open(prefix);
    await sees(fresh, 'a', 'b', 'c');
    expect(seen.map(({ least }) => least)).toEqual([3, 3, 3]);
  });

  test('that comes back empty is told again, and who died meanwhile is found out', async () => {
    const prefix = newPrefix();
    await using own = await mesh(prefix);
    const [one, , three] = own.all as [RedisMembership, RedisMembership, RedisMembership];
    const seen = watched(one);
    const { number } = one.view();
    await redis.lose();
    await expect(one.refresh()).rejects.toMatchObject({ reason: 'CLUSTER_UNAVAILABLE' });
    // It does not renew any more, and nobody could be told.
    await three[Symbol.asyncDispose]();
    await redis.start();
    await sees(one, 'a', 'b');
    expect(one.view().number).toBeGreaterThan(number);
    expect(seen.least).toBe(2);
  });

  test('that was paused has killed nobody', async () => {
    await using own = await mesh(newPrefix());
    const seen = own.all.map(watched);
    await redis.pause();
    // Longer than any lease: every connection has been given up and refuses.
    for (const each of own.all)
      await vi.waitFor(
        () => expect(each.refresh()).rejects.toMatchObject({ reason: 'CLUSTER_UNAVAILABLE' }),
        LATER,
      );
    await redis.resume();
    for (const each of own.all)
      await vi.waitFor(async () => expect(nodesOf(await each.refresh())).toEqual(['a', 'b', 'c']), LATER);
    expect(seen.map(({ least }) => least)).toEqual([3, 3, 3]);
  });
});

test('without Redis a member waits for it, and the question is refused in time', async () => {
  await using membership = open(newPrefix(), 'redis://127.0.0.1:1');
  await using _ = await membership.announce(member('a'));
  await expect(membership.refresh()).rejects.toMatchObject({ reason: 'CLUSTER_UNAVAILABLE' });
  expect(membership.view().members).toEqual([]);
});
