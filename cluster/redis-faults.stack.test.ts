// A Redis that is killed, and comes back empty or not at all, is a hint less and no more.
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Stack, startStack } from '../deploy/stack/stack.ts';
import { silentLog } from '../runtime/log.ts';
import { RedisMembership } from './membership.redis.ts';
import { RedisPresence } from './presence.redis.ts';

// One of its own: the others' must stay up.
let stack: Stack;
beforeAll(async () => {
  stack = await startStack({});
});
afterAll(() => stack?.stop());

const LATER = { timeout: 20_000, interval: 50 };

test('while Redis is away nobody is anywhere; once it is back everybody is where they are by then', async () => {
  const options = { url: stack.redisUrl, log: silentLog };
  await using edge = new RedisPresence(options);
  await using router = new RedisPresence(options);
  await using membership = new RedisMembership(options);
  const member = { node: 'edge-a', incarnation: '0001', linkAddress: '127.0.0.1:1' };
  await using _ = await membership.announce(member);
  const [stays, goes, comes] = ['stays', 'goes', 'comes'].map((userId) => ({ tenant: 'default', userId }));
  if (!stays || !goes || !comes) throw new Error('three users');
  const edges = async () => (await router.locate([stays, goes, comes])).map((each) => each.edges);
  edge.enter(stays, 'edge-a');
  edge.enter(goes, 'edge-a');
  await vi.waitFor(async () => expect(await edges()).toEqual([['edge-a'], ['edge-a'], []]), LATER);

  await stack.redis.kill();
  await vi.waitFor(async () => expect(await edges()).toEqual([[], [], []]), LATER);
  await expect(membership.edges()).rejects.toMatchObject({ reason: 'CLUSTER_UNAVAILABLE' });
  edge.leave(goes, 'edge-a', true);
  edge.enter(comes, 'edge-a');

  await stack.redis.start();
  await vi.waitFor(async () => expect(await edges()).toEqual([['edge-a'], [], ['edge-a']]), LATER);
  await vi.waitFor(async () => expect(await membership.edges()).toEqual([member]), LATER);
});
