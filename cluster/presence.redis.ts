// Presence in Redis: a hint that lives no longer than its edge's lease, written together, and written anew when it was lost.
import { type Clock, systemClock, type Timer } from '../runtime/clock.ts';
import { type Ids, systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Presence, UserKey, Whereabouts } from './presence.ts';
import { PresenceWriter } from './presence-writer.redis.ts';
import { RedisConnection } from './redis.ts';

export interface RedisPresenceOptions {
  url: string;
  prefix?: string;
  log: Log;
  clock?: Clock;
  ids?: Ids;
}

const nobody: Whereabouts = { edges: [], vanishedAtMs: undefined };

/** `<incarnation>:<generation>:<p for present | v<ms> for vanished>`, see presence-writer.redis.ts. */
function parse(value: string): { incarnation: string; vanishedAtMs: number | undefined } {
  const [incarnation = '', , state = ''] = value.split(':');
  return { incarnation, vanishedAtMs: state.startsWith('v') ? Number(state.slice(1)) : undefined };
}

export class RedisPresence implements Presence {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Of this process: what an earlier one of the same node said no longer holds. */
  readonly #incarnation: string;
  readonly #writers = new Map<string, PresenceWriter>();
  readonly #leases = new Map<string, { incarnation: string | null; atMs: number }>();
  #renewals: Timer | undefined;

  constructor({ url, prefix, log, clock = systemClock, ids = systemIds }: RedisPresenceOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#incarnation = ids.uuid();
    this.#redis = new RedisConnection({ url, log, clock, ...(prefix !== undefined && { prefix }) });
    this.#redis.onReady(() => this.#renew());
  }

  enter(user: UserKey, edge: string): void {
    this.#writer(edge).set(user, 'present');
  }

  leave(user: UserKey, edge: string, closed: boolean): void {
    this.#writer(edge).set(user, closed ? 'closed' : 'vanished');
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
    this.#renewals ??= this.#clock.every(limits.edgeRenewMs, () => this.#renew());
    return writer;
  }

  #renew(): void {
    for (const writer of this.#writers.values()) void writer.renew();
  }

  async locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    if (users.length === 0) return [];
    const found: Whereabouts[] = [];
    try {
      for (let from = 0; from < users.length; from += limits.presenceBatchCount) {
        const some = users.slice(from, from + limits.presenceBatchCount);
        found.push(...(await this.#redis.run(() => this.#locate(some), limits.presenceLocateMs)));
      }
      return found;
    } catch (error) {
      this.#log.debug({ err: error }, 'presence is not known: nobody is here');
      return users.map((_, index) => found[index] ?? nobody);
    }
  }

  async #locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    return await this.#redis.run(async (client) => {
      // One write to the socket; answers in order.
      const [time, ...entries] = await Promise.all([
        client.time(),
        ...users.map((user) => client.hGetAll(PresenceWriter.keyOf(user))),
      ]);
      const edges = new Set(entries.flatMap((entry) => Object.keys(entry)));
      await this.#refreshLeases([...edges]);
      const redisNowMs = Number(time[0]) * 1_000 + Math.floor(Number(time[1]) / 1_000);
      return entries.map((entry) => this.#whereabouts(entry, redisNowMs));
    });
  }

  #whereabouts(entry: Record<string, string>, redisNowMs: number): Whereabouts {
    const edges: string[] = [];
    let agoMs = Number.POSITIVE_INFINITY;
    for (const [edge, value] of Object.entries(entry)) {
      const { incarnation, vanishedAtMs } = parse(value);
      if (vanishedAtMs !== undefined) agoMs = Math.min(agoMs, Math.max(0, redisNowMs - vanishedAtMs));
      else if (this.#leases.get(edge)?.incarnation === incarnation) edges.push(edge);
    }
    if (edges.length > 0 || agoMs > limits.lingerMs) return { edges, vanishedAtMs: undefined };
    // Redis' clock wrote it, ours reads it.
    return { edges, vanishedAtMs: this.#clock.now() - agoMs };
  }

  async #refreshLeases(edges: readonly string[]): Promise<void> {
    const nowMs = this.#clock.monotonic();
    const stale = edges.filter((edge) => {
      const lease = this.#leases.get(edge);
      return !lease || nowMs - lease.atMs > limits.presenceLeaseCacheMs;
    });
    if (stale.length === 0) return;
    const incarnations = await this.#redis.run((client) => client.mGet(stale.map(PresenceWriter.leaseOf)));
    for (const [index, edge] of stale.entries())
      this.#leases.set(edge, { incarnation: incarnations[index] ?? null, atMs: nowMs });
    for (const [edge, { atMs }] of this.#leases)
      if (nowMs - atMs > limits.edgeLeaseMs) this.#leases.delete(edge);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#renewals?.[Symbol.dispose]();
    await Promise.all([...this.#writers.values()].map((writer) => writer[Symbol.asyncDispose]()));
    await this.#redis[Symbol.asyncDispose]();
  }
}
