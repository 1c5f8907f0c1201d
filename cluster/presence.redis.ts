// Presence in Redis: a hint that lives no longer than its edge's lease, written together, and written anew when it was lost.
//
// What is not known is not an absence: while Redis is away, has forgotten, or edges have not said everything again, the
// answer says so, and users who are not found count as vanished when that began.
import { type Clock, systemClock, type Timer } from '../runtime/clock.ts';
import { type Ids, systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Attention, Presence, UserKey, Whereabouts } from './presence.ts';
import { type Edges, isKnown, leaseAgeMs, pairs, readEdges, whereaboutsOf } from './presence-hints.redis.ts';
import { PRESENCE_KEY, READ, userKey } from './presence-script.redis.ts';
import { PresenceWriter } from './presence-writer.redis.ts';
import { RedisConnection } from './redis.ts';

export interface RedisPresenceOptions {
  url: string;
  prefix?: string;
  log: Log;
  clock?: Clock;
  ids?: Ids;
}

export class RedisPresence implements Presence {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #incarnation: string;
  readonly #writers = new Map<string, PresenceWriter>();
  /** Since when this process sees what is said, by Redis' clock; undefined since it was last refused an answer. */
  #seeingMs: number | undefined;
  /** Since when nothing is known at all, by our clock. */
  #unknownSinceMs: number | undefined;
  #renewals: Timer | undefined;

  constructor({ url, prefix, log, clock = systemClock, ids = systemIds }: RedisPresenceOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#incarnation = ids.uuid();
    const silentMs = limits.presenceSilentMs;
    this.#redis = new RedisConnection({ url, log, clock, silentMs, ...(prefix !== undefined && { prefix }) });
    this.#redis.onReady(() => {
      this.#seeingMs = undefined;
      for (const writer of this.#writers.values()) void writer.again();
    });
  }

  enter(user: UserKey, edge: string, attention: Attention): void {
    this.#writer(edge).enter(user, attention);
  }

  leave(user: UserKey, edge: string, closed: boolean): void {
    this.#writer(edge).leave(user, closed);
  }

  #writer(edge: string): PresenceWriter {
    const known = this.#writers.get(edge);
    if (known) return known;
    const writer = new PresenceWriter({
      redis: this.#redis,
      edge,
      incarnation: this.#incarnation,
      clock: this.#clock,
      log: this.#log,
    });
    this.#writers.set(edge, writer);
    this.#renewals ??= this.#clock.every(limits.presenceRenewMs, () => {
      for (const each of this.#writers.values()) void each.renew();
    });
    return writer;
  }

  async locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    const found: Whereabouts[] = [];
    while (found.length < users.length) {
      const some = users.slice(found.length, found.length + limits.presenceBatchCount);
      found.push(...(await this.#locate(some)));
    }
    return found;
  }

  async #locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    const read = await this.#read(users.map(userKey));
    if (!read?.edges.epoch) {
      const vanishedAtMs = this.#unknown();
      return users.map(() => ({ edges: [], foreground: false, vanishedAtMs, known: false }));
    }
    const { edges, entries } = read;
    this.#unknownSinceMs = undefined;
    const known = isKnown(edges, this.#seeingMs ?? edges.nowMs);
    // Redis' clock wrote it, ours reads it.
    const aheadMs = this.#clock.now() - edges.nowMs;
    return entries.map((entry) => {
      const where = whereaboutsOf(pairs(entry), edges);
      const vanishedAtMs = where.vanishedAtMs === undefined ? undefined : where.vanishedAtMs + aheadMs;
      return { ...where, vanishedAtMs, known };
    });
  }

  /** Undefined when Redis does not answer in time; then what it says next is not believed at once. */
  async #read(keys: readonly string[]): Promise<{ edges: Edges; entries: string[][] } | undefined> {
    try {
      const [nowMs, flat, ...entries] = (await this.#redis.run(
        (client) => client.eval(READ, { keys: [PRESENCE_KEY, ...keys] }),
        limits.presenceLocateMs,
      )) as [number, string[], ...string[][]];
      this.#seeingMs ??= nowMs;
      return { edges: readEdges(nowMs, flat), entries };
    } catch (error) {
      this.#seeingMs = undefined;
      this.#log.debug({ err: error }, 'presence is not known');
      return undefined;
    }
  }

  /** When the hints were lost, as long as that is within the longest linger. */
  #unknown(): number | undefined {
    const nowMs = this.#clock.now();
    this.#unknownSinceMs ??= nowMs;
    return nowMs - this.#unknownSinceMs <= limits.lingerMaxMs ? this.#unknownSinceMs : undefined;
  }

  async leaseAgesMs(edges: readonly string[]): Promise<(number | undefined)[]> {
    const read = await this.#read([]);
    return edges.map((edge) => (read ? leaseAgeMs(read.edges, edge) : undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#renewals?.[Symbol.dispose]();
    await Promise.all([...this.#writers.values()].map((writer) => writer[Symbol.asyncDispose]()));
    await this.#redis[Symbol.asyncDispose]();
  }
}
