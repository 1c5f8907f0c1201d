// The suite of membership in a real Redis, and what a lease adds.
import { randomUUID } from 'node:crypto';
import { createClient } from 'redis';
import { expect, inject, test, vi } from 'vitest';
import { silentLog } from '../runtime/log.ts';
import { membershipContract } from './membership.contract.ts';
import { RedisMembership } from './membership.redis.ts';

membershipContract('Redis', async () => {
  const { redisUrl: url } = inject('stack');
  const prefix = `${randomUUID()}:`;
  return {
    open: () => new RedisMembership({ url, prefix, log: silentLog }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
});

test('a lost lease is renewed, and an older incarnation does not get it', async () => {
  const { redisUrl: url } = inject('stack');
  const prefix = `${randomUUID()}:`;
  await using membership = new RedisMembership({ url, prefix, log: silentLog });
  const member = { node: 'a', incarnation: '0002', linkAddress: 'h:1' };
  await using _ = await membership.announce(member);
  const raw = createClient({ url, keyPrefix: prefix });
  raw.on('error', () => {});
  await raw.connect();
  // As after FLUSHALL.
  await raw.del(['edges', 'edge:a']);
  expect(await membership.edges()).toEqual([]);
  await using late = await membership.announce({ ...member, incarnation: '0001' });
  await vi.waitFor(async () => expect(await membership.edges()).toEqual([member]), { timeout: 5_000 });
  expect(late).toBeDefined();
  await raw.close();
});

test('without Redis the question is refused in time, and nothing breaks', async () => {
  await using membership = new RedisMembership({ url: 'redis://127.0.0.1:1', log: silentLog });
  await expect(membership.edges()).rejects.toMatchObject({ reason: 'CLUSTER_UNAVAILABLE' });
});
