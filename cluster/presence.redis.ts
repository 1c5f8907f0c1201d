// Presence in Redis: a hint that lives no longer than its edge's lease, written together, and written anew when it was lost.
//
// What is not known is not an absence: after an edge was started anew, Redis has forgotten or is away, users who are not
// found count as vanished at that moment, and so linger once, before anybody takes another channel.
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

/** `<incarnation>:<generation>:<p for present | v<ms> for vanished>`, see presence-writer.redis.ts. */
function parse(value: string): { incarnation: string; vanishedAtMs: number | undefined } {
  const [incarnation = '', , state = ''] = value.split(':');
  return { incarnation, vanishedAtMs: state.startsWith('v') ? Number(state.slice(1)) : undefined };
}

/** `<name>:<ms>` */
function since(value: string | null): { name: string; sinceMs: number } | undefined {
  const at = value?.lastIndexOf(':') ?? -1;
  return value && at >= 0 ? { name: value.slice(0, at), sinceMs: Number(value.slice(at + 1)) } : undefined;
}

export class RedisPresence implements Presence {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Of this process: what an earlier one of the same node said no longer holds. */
  readonly #incarnation: string;
  readonly #writers = new Map<string, PresenceWriter>();
  readonly #leases = new Map<
    string,
    { incarnation: string | undefined; sinceMs: number; lookedAtMs: number }
  >();
  /** Since when Redis does not answer, or has forgotten and nobody has told it anew; our clock. */
  #unknownSinceMs: number | undefined;
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
      const vanishedAtMs = this.#unknown();
      return users.map((_, index) => found[index] ?? { edges: [], vanishedAtMs });
    }
  }

  /** When the hints were lost, as long as that is within the linger. */
  #unknown(): number | undefined {
    const nowMs = this.#clock.now();
    this.#unknownSinceMs ??= nowMs;
    return nowMs - this.#unknownSinceMs <= limits.lingerMs ? this.#unknownSinceMs : undefined;
  }

  async #locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    return await this.#redis.run(async (client) => {
      // One write to the socket; answers in order.
      const [time, epoch, ...entries] = await Promise.all([
        client.time(),
        client.get(PresenceWriter.epoch),
        ...users.map((user) => client.hGetAll(PresenceWriter.keyOf(user))),
      ]);
      const edges = new Set(entries.flatMap((entry) => Object.keys(entry)));
      await this.#refreshLeases([...edges]);
      const redisNowMs = Number(time[0]) * 1_000 + Math.floor(Number(time[1]) / 1_000);
      const known = since(epoch);
      if (known) this.#unknownSinceMs = undefined;
      const forgotAtMs = known ? undefined : this.#unknown();
      return entries.map((entry) => {
        const found = this.#whereabouts(entry, redisNowMs, known?.sinceMs);
        return found.edges.length > 0 ? found : { edges: [], vanishedAtMs: found.vanishedAtMs ?? forgotAtMs };
      });
    });
  }

  #whereabouts(
    entry: Record<string, string>,
    redisNowMs: number,
    epochSinceMs: number | undefined,
  ): Whereabouts {
    const edges: string[] = [];
    const vanished: number[] = [];
    for (const [edge, value] of Object.entries(entry)) {
      const { incarnation, vanishedAtMs } = parse(value);
      const lease = this.#leases.get(edge);
      if (vanishedAtMs !== undefined) vanished.push(vanishedAtMs);
      else if (lease?.incarnation === incarnation) edges.push(edge);
      // The edge was started anew since, and its users are on their way back.
      else if (lease?.incarnation !== undefined) vanished.push(lease.sinceMs);
    }
    if (edges.length > 0) return { edges, vanishedAtMs: undefined };
    if (vanished.length === 0 && epochSinceMs !== undefined) vanished.push(epochSinceMs);
    const agoMs = Math.max(0, redisNowMs - Math.max(...vanished));
    if (agoMs > limits.lingerMs) return { edges, vanishedAtMs: undefined };
    // Redis' clock wrote it, ours reads it.
    return { edges, vanishedAtMs: this.#clock.now() - agoMs };
  }

  async #refreshLeases(edges: readonly string[]): Promise<void> {
    const nowMs = this.#clock.monotonic();
    const stale = edges.filter((edge) => {
      const lease = this.#leases.get(edge);
      return !lease || nowMs - lease.lookedAtMs > limits.presenceLeaseCacheMs;
    });
    if (stale.length === 0) return;
    const leases = await this.#redis.run((client) => client.mGet(stale.map(PresenceWriter.leaseOf)));
    for (const [index, edge] of stale.entries()) {
      const lease = since(leases[index] ?? null);
      this.#leases.set(edge, {
        incarnation: lease?.name,
        sinceMs: lease?.sinceMs ?? 0,
        lookedAtMs: nowMs,
      });
    }
    for (const [edge, { lookedAtMs }] of this.#leases)
      if (nowMs - lookedAtMs > limits.edgeLeaseMs) this.#leases.delete(edge);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#renewals?.[Symbol.dispose]();
    await Promise.all([...this.#writers.values()].map((writer) => writer[Symbol.asyncDispose]()));
    await this.#redis[Symbol.asyncDispose]();
  }
}
