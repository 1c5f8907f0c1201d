// What one edge says of its users in Redis: sent together each tick, never undone by something older, said again when lost.
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { UserKey } from './presence.ts';
import type { RedisConnection } from './redis.ts';

export type PresenceState = 'present' | 'vanished' | 'closed';

interface Said {
  generation: number;
  state: PresenceState;
}

// A user is a hash: edge → `<incarnation>:<generation>:<p | v<ms>>`. What this edge said later, or what a later
// incarnation of it said, stays.
const WRITE = `
local edge, incarnation, kept, linger = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i, key in ipairs(KEYS) do
  local generation, state = tonumber(ARGV[3 + 2 * i]), ARGV[4 + 2 * i]
  local old = redis.call('HGET', key, edge)
  local inc, gen
  if old then inc, gen = string.match(old, '^([^:]*):(%d+):') end
  local stale = inc and (inc > incarnation or (inc == incarnation and tonumber(gen) > generation))
  if not stale then
    if state == 'present' then
      redis.call('HSET', key, edge, incarnation .. ':' .. generation .. ':p')
      redis.call('PEXPIRE', key, kept)
    elseif state == 'vanished' then
      redis.call('HSET', key, edge, incarnation .. ':' .. generation .. ':v' .. string.format('%d', now))
      if redis.call('HLEN', key) == 1 then redis.call('PEXPIRE', key, linger) end
    else
      redis.call('HDEL', key, edge)
    end
  end
end
return #KEYS`;

// Keeps the lease unless a later incarnation has it, and answers which Redis this is: FLUSHALL takes the epoch away. Both
// say since when they are, so that whoever reads knows how long nothing was known.
const RENEW = `
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local holder, since = string.match(redis.call('GET', KEYS[1]) or '', '^([^:]*):(%d+)$')
if not holder or holder <= ARGV[1] then
  if holder ~= ARGV[1] then since = now end
  redis.call('SET', KEYS[1], ARGV[1] .. ':' .. since, 'PX', ARGV[2])
end
redis.call('SET', KEYS[2], ARGV[1] .. '.' .. ARGV[3] .. ':' .. now, 'NX')
return redis.call('GET', KEYS[2])`;

const WITHDRAW = `
local holder = string.match(redis.call('GET', KEYS[1]) or '', '^([^:]*):')
if holder == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0`;

export class PresenceWriter implements AsyncDisposable {
  static keyOf({ tenant, userId }: UserKey): string {
    return `user:${tenant}\u001f${userId}`;
  }

  /** Holds `<incarnation>:<ms since when>` as long as the edge renews it. */
  static leaseOf(edge: string): string {
    return `presence:${edge}`;
  }

  /** Holds `<name>:<ms since when>`: this Redis has not forgotten anything since then. */
  static readonly epoch = 'epoch';

  readonly #redis: RedisConnection;
  readonly #edge: string;
  readonly #incarnation: string;
  readonly #clock: Clock;
  readonly #log: Log;
  /** The users of this edge; as many as it has streams. */
  readonly #present = new Map<string, Said>();
  readonly #pending = new Map<string, Said>();
  #generation = 0;
  #timer: Timer | undefined;
  #flushing: Promise<void> | undefined;
  #renewing = false;
  /** Of the Redis that has what we said; another one knows nothing of it. */
  #epoch: string | undefined;
  /** Goes round the present users for ever, a few with each renewal. */
  #round: Iterator<string> | undefined;
  /** Goes over all present users once, because the store has lost them. */
  #anew: Iterator<string> | undefined;
  #renewals = 0;
  #closed = false;

  constructor(options: {
    redis: RedisConnection;
    edge: string;
    incarnation: string;
    clock: Clock;
    log: Log;
  }) {
    this.#redis = options.redis;
    this.#edge = options.edge;
    this.#incarnation = options.incarnation;
    this.#clock = options.clock;
    this.#log = options.log;
    void this.renew();
  }

  /** Never waits, never throws. */
  set(user: UserKey, state: PresenceState): void {
    const key = PresenceWriter.keyOf(user);
    const said = { generation: ++this.#generation, state };
    if (state === 'present') this.#present.set(key, said);
    // Who did not enter here has nothing to leave.
    else if (!this.#present.delete(key)) return;
    this.#add(key, said);
  }

  #add(key: string, said: Said): void {
    if (this.#pending.size >= limits.presencePendingCount && !this.#pending.has(key)) {
      // Too much to remember: those who are here are written anew, those who left are found out by asking this edge.
      this.#epoch = undefined;
      return;
    }
    this.#pending.set(key, said);
    if (!this.#closed) this.#schedule();
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#timer ??= this.#clock.after(limits.presenceTickMs, () => {
      this.#timer = undefined;
      this.#flushing = this.#flush().finally(() => {
        this.#flushing = undefined;
      });
    });
  }

  async #flush(): Promise<void> {
    for (let batch = this.#nextBatch(); batch.length > 0; batch = this.#nextBatch()) {
      try {
        await this.#write(batch);
      } catch (error) {
        // The next renewal that gets through sends all of it again.
        if (this.#anew) this.#epoch = undefined;
        this.#log.debug({ err: error }, 'presence was not written; trying again');
        return;
      }
      for (const [key, said] of batch) if (this.#pending.get(key) === said) this.#pending.delete(key);
    }
  }

  /** Changes first; then those who are written anew. */
  #nextBatch(): [string, Said][] {
    const batch = [...this.#pending.entries().take(limits.presenceBatchCount)];
    while (this.#anew && batch.length < limits.presenceBatchCount) {
      const { value: key, done } = this.#anew.next();
      if (done) {
        this.#anew = undefined;
        break;
      }
      const said = this.#present.get(key);
      if (said && !this.#pending.has(key)) batch.push([key, said]);
    }
    return batch;
  }

  async #write(batch: readonly (readonly [string, Said])[]): Promise<void> {
    await this.#redis.run((client) =>
      client.eval(WRITE, {
        keys: batch.map(([key]) => key),
        arguments: [
          this.#edge,
          this.#incarnation,
          `${limits.presenceKeptMs}`,
          `${limits.lingerMs}`,
          ...batch.flatMap(([, { generation, state }]) => [`${generation}`, state]),
        ],
      }),
    );
  }

  /** Keeps the lease, notices a Redis that has forgotten, and writes a part of the present users again. */
  async renew(): Promise<void> {
    if (this.#renewing || this.#closed) return;
    this.#renewing = true;
    try {
      const epoch = await this.#redis.run((client) =>
        client.eval(RENEW, {
          keys: [PresenceWriter.leaseOf(this.#edge), PresenceWriter.epoch],
          arguments: [this.#incarnation, `${limits.edgeLeaseMs}`, `${++this.#renewals}`],
        }),
      );
      if (String(epoch) !== this.#epoch) this.#anew = this.#present.keys();
      else this.#refreshSome();
      this.#epoch = String(epoch);
      if (this.#pending.size > 0 || this.#anew) this.#schedule();
    } catch (error) {
      this.#log.debug({ err: error }, 'the lease of presence was not renewed; trying again');
    } finally {
      this.#renewing = false;
    }
  }

  /** So many that all have been written again within half the time that entries are kept. */
  #refreshSome(): void {
    const rounds = limits.presenceKeptMs / 2 / limits.edgeRenewMs;
    for (let left = Math.ceil(this.#present.size / rounds); left > 0; left--) {
      this.#round ??= this.#present.keys();
      const { value: key, done } = this.#round.next();
      if (done) {
        this.#round = undefined;
        return;
      }
      const said = this.#present.get(key);
      if (said && !this.#pending.has(key)) this.#add(key, said);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#flushing;
    await this.#flush();
    // What this incarnation said ends with it; users who did not close linger by themselves.
    await this.#redis
      .run((client) =>
        client.eval(WITHDRAW, {
          keys: [PresenceWriter.leaseOf(this.#edge)],
          arguments: [this.#incarnation],
        }),
      )
      .catch(() => {});
  }
}
