// G10: what it costs an edge to keep what it says of its users from running out, on a real Redis.
import { createClient } from 'redis';
import { PresenceWriter } from '../cluster/presence-writer.redis.ts';
import { RedisConnection } from '../cluster/redis.ts';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { silentLog } from '../runtime/log.ts';
import { startOwnRedis } from '../test/support/own-redis.ts';
import { until } from '../test/support/until.ts';
import { type Bench, type BenchContext, compareCosts, type Row } from './bench.ts';

const USERS = 10_000;
const EDGE = 'edge-1';
/** Renewals in one measurement; one alone is less than the CPU clock can tell. */
const RENEWALS = 50;

const users = Array.from({ length: USERS }, (_, n) => ({ tenant: 'default', userId: `user-${n}` }));

async function connect(url: string) {
  return await createClient({ url, keyPrefix: 'other:' }).connect();
}
type Client = Awaited<ReturnType<typeof connect>>;

/** CPU of this process and of Redis together, microseconds: what a neighbour on the machine does is not in it. */
async function cpuUs(client: Client, work: () => Promise<unknown>): Promise<number> {
  const redisUs = async () => {
    const info = await client.info('cpu');
    const seconds = [...info.matchAll(/^used_cpu_(?:user|sys):([\d.]+)/gm)].map(([, value]) => Number(value));
    return seconds.reduce((sum, each) => sum + each, 0) * 1e6;
  };
  const redisBeforeUs = await redisUs();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return user + system + (await redisUs()) - redisBeforeUs;
}

/** A heartbeat for each user, as presence is usually kept: where they are, and when they were last seen. */
async function heartbeats(client: Client): Promise<void> {
  const nowMs = systemClock.now();
  await Promise.all(
    users.flatMap(({ userId }) => [
      client.hSet(`user:${userId}`, EDGE, 'f'),
      client.zAdd('seen', { score: nowMs, value: userId }),
    ]),
  );
}

async function zAddForAll(client: Client): Promise<void> {
  const nowMs = systemClock.now();
  for (let from = 0; from < USERS; from += 1_000)
    await client.zAdd(
      'seen-together',
      users.slice(from, from + 1_000).map(({ userId }) => ({ score: nowMs, value: userId })),
    );
}

async function run({ rounds, progress, signal }: BenchContext): Promise<readonly Row[]> {
  await using redis = await startOwnRedis();
  await using connection = new RedisConnection({ url: redis.url, clock: systemClock, log: silentLog });
  await connection.settled();
  const client = await connect(redis.url);
  const ours = { clock: systemClock, log: silentLog, redis: connection, edge: EDGE };
  await using writer = new PresenceWriter({ ...ours, incarnation: systemIds.uuid() });
  const allSaid = (told: PresenceWriter) => until('word of all users', () => told.toldAll || undefined);
  await writer.renew();
  for (const user of users) writer.enter(user, Activity.FOREGROUND);
  await allSaid(writer);
  const costs = {
    refresh: [] as number[],
    each: [] as number[],
    together: [] as number[],
    anew: [] as number[],
  };
  for (let round = 0; round < rounds; round++) {
    signal.throwIfAborted();
    progress(`round ${round + 1} of ${rounds}`);
    const perUser = async (work: () => Promise<unknown>) => (await cpuUs(client, work)) / USERS;
    costs.each.push(await perUser(() => heartbeats(client)));
    costs.together.push(await perUser(() => zAddForAll(client)));
    costs.refresh.push(
      (await perUser(async () => {
        for (let n = 0; n < RENEWALS; n++) await writer.renew();
        await allSaid(writer);
      })) / RENEWALS,
    );
    costs.anew.push(
      await perUser(async () => {
        await writer.again();
        await allSaid(writer);
      }),
    );
  }
  client.destroy();
  const compare = (name: string, mine: readonly number[], other: readonly number[], target: number): Row =>
    compareCosts({ goal: 'G10', name, unit: 'cpu_us/user', ours: mine, other, target });
  return [
    compare(`a refresh of ${USERS} users, against a heartbeat for each`, costs.refresh, costs.each, 15),
    compare(`a refresh of ${USERS} users, against one sorted set for all`, costs.refresh, costs.together, 15),
    compare('all users said anew, against a heartbeat for each', costs.anew, costs.each, 2),
  ];
}

export const bench: Bench = {
  name: 'presence',
  goals: ['G10'],
  about:
    'CPU of the edge and of Redis for keeping the presence of its users fresh once: one lease, and as many of the users as must be written again by then; ' +
    'against HSET and ZADD for each user, and against ZADD of 1,000 users at once. Saying all anew is what follows a loss.',
  run,
};
