// Membership in Redis: each edge keeps a key with a lease, and renews it; whoever looks sees those whose lease holds.
import { type Clock, systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { EdgeMember, Membership } from './membership.ts';
import { RedisConnection } from './redis.ts';

const NODES = 'edges';
const keyOf = (node: string) => `edge:${node}`;

// An older incarnation of the same node that wakes up late must not overwrite the newer one: ids rise with time.
const RENEW = `
local old = redis.call('GET', KEYS[1])
if old and cjson.decode(old).incarnation > ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('SADD', KEYS[2], ARGV[4])
return 1`;

const WITHDRAW = `
local old = redis.call('GET', KEYS[1])
if old and cjson.decode(old).incarnation == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0`;

export interface RedisMembershipOptions {
  url: string;
  prefix?: string;
  log: Log;
  clock?: Clock;
}

export class RedisMembership implements Membership {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor({ url, prefix, log, clock = systemClock }: RedisMembershipOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#redis = new RedisConnection({ url, log, clock, ...(prefix !== undefined && { prefix }) });
  }

  /** Resolves after the first attempt; while Redis is away the edge is announced as soon as it is back. */
  async announce(member: EdgeMember): Promise<AsyncDisposable> {
    await this.#redis.settled();
    await this.#renew(member);
    const timer = this.#clock.every(limits.edgeRenewMs, () => void this.#renew(member));
    return {
      [Symbol.asyncDispose]: async () => {
        timer[Symbol.dispose]();
        await this.#redis
          .run((client) =>
            client.eval(WITHDRAW, { keys: [keyOf(member.node)], arguments: [member.incarnation] }),
          )
          .catch((error: unknown) =>
            this.#log.debug({ err: error }, 'an edge was not withdrawn; its lease will end'),
          );
      },
    };
  }

  async #renew(member: EdgeMember): Promise<void> {
    const { node, incarnation, linkAddress } = member;
    const value = JSON.stringify({ node, incarnation, linkAddress });
    try {
      await this.#redis.run((client) =>
        client.eval(RENEW, {
          keys: [keyOf(node), NODES],
          arguments: [value, incarnation, `${limits.edgeLeaseMs}`, node],
        }),
      );
    } catch (error) {
      this.#log.debug({ err: error }, 'the lease of an edge was not renewed; trying again');
    }
  }

  /** Rejects with CLUSTER_UNAVAILABLE when Redis does not answer: links that stand had better stay. */
  async edges(): Promise<EdgeMember[]> {
    await this.#redis.settled();
    return await this.#redis.run(async (client) => {
      const nodes = (await client.sMembers(NODES)).sort();
      if (nodes.length === 0) return [];
      const values = await client.mGet(nodes.map(keyOf));
      const gone = nodes.filter((_, index) => values[index] === null);
      if (gone.length > 0) await client.sRem(NODES, gone);
      return values.flatMap((value) => (value === null ? [] : [JSON.parse(value) as EdgeMember]));
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#redis[Symbol.asyncDispose]();
  }
}
