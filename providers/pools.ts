// The pools of every tenant, as they are configured now: changes are found by looking, and made without losing a call.
import { BreakerStateSchema } from '../gen/carillon/v1/admin_pb.ts';
import type { Channel } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';
import { type ProviderConfig, providersVersion, readProviders } from '../storage/provider-configs.ts';
import { Member } from './member.ts';
import { Pool } from './pool.ts';
import type { Provider } from './provider.ts';

/** A provider as it was opened; with a `problem`, one that cannot be used and refuses every call as `config`. */
export interface OpenedProvider {
  provider: Provider;
  perSecond: number | undefined;
  problem: string;
  /** The problem may pass by itself: it is to be opened again. */
  again?: boolean;
}

/** Never rejects. */
export type OpenProvider = (config: ProviderConfig) => Promise<OpenedProvider>;

export interface PoolsOptions {
  db: Database;
  /** For tenants that configured none in a channel: the preferred one first. Closed with the pools. */
  defaults: readonly Provider[];
  open: OpenProvider;
  /** In [0, 1). */
  random: () => number;
  clock: Clock;
  log: Log;
  breaker?: { failures?: number; openMs?: number } | undefined;
  /** A breaker or the set of providers changed. */
  onChange: () => void;
}

interface TenantPool {
  readonly pool: Pool;
  readonly tenant: string;
  readonly channel: Channel;
  /** Runs one change after the other. */
  settled: Promise<void>;
}

const keyOf = (tenant: string, channel: Channel): string => `${channel}\0${tenant}`;

export class Pools implements AsyncDisposable {
  readonly #options: PoolsOptions;
  readonly #defaults: readonly Member[];
  readonly #shared = new Map<Channel, Pool>();
  /** Of tenants that configured something and had something to send. */
  readonly #pools = new Map<string, TenantPool>();
  #configs: ReadonlyMap<string, readonly ProviderConfig[]> = new Map();
  #version = -1;
  #again = false;
  readonly #stop = new AbortController();
  /** Members that are out of their pools and finish their calls. */
  readonly #leaving = new Set<Promise<void>>();
  #polling: Promise<void> | undefined;

  constructor(options: PoolsOptions) {
    this.#options = options;
    this.#defaults = options.defaults.map((provider, position) =>
      this.#member({ provider, perSecond: undefined, problem: '' }, { position, weight: 1, draining: false }),
    );
  }

  #member(
    { provider, perSecond, problem }: OpenedProvider,
    place: Member['place'],
    of: { tenant?: string; version?: number } = {},
  ): Member {
    const { clock, log, breaker, onChange } = this.#options;
    return new Member({
      ...of,
      provider,
      place,
      perSecond,
      problem,
      clock,
      breaker,
      onBreaker: ({ name }, state) => {
        const breaker = BreakerStateSchema.value[state]?.localName;
        log.warn({ provider: name, tenant: of.tenant, breaker }, 'a provider’s breaker changed');
        onChange();
      },
    });
  }

  /** All that are open, for reports. */
  get members(): readonly Member[] {
    const configured = [...this.#pools.values()].flatMap(({ pool }) => pool.members);
    return [...this.#defaults, ...configured];
  }

  /** The pool of a tenant and channel, opened when it is first asked for. */
  async of(tenant: string, channel: Channel): Promise<Pool> {
    const key = keyOf(tenant, channel);
    let known = this.#pools.get(key);
    if (!known) {
      if (!this.#configs.has(key)) return this.#sharedPool(channel);
      known = {
        tenant,
        channel,
        pool: new Pool([], this.#options.random),
        settled: Promise.resolve(),
      };
      this.#pools.set(key, known);
      this.#follow(known);
    }
    await known.settled;
    return known.pool;
  }

  #sharedPool(channel: Channel): Pool {
    const known = this.#shared.get(channel);
    if (known) return known;
    const pool = new Pool(this.#defaultsOf(channel), this.#options.random);
    this.#shared.set(channel, pool);
    return pool;
  }

  #defaultsOf(channel: Channel): Member[] {
    return this.#defaults.filter(({ provider }) => provider.channel === channel);
  }

  /** Reads the configuration if it has changed, and lets the open pools follow it. */
  async look(): Promise<void> {
    const { db, log } = this.#options;
    if (!this.#again && (await providersVersion(db)) === this.#version) return;
    const { version, configs } = await readProviders(db);
    this.#again = false;
    this.#configs = Map.groupBy(configs, ({ tenant, channel }) => keyOf(tenant, channel));
    if (this.#version >= 0 && this.#version < version)
      log.info({ providers: configs.length }, 'the providers were changed');
    this.#version = version;
    for (const known of this.#pools.values()) this.#follow(known);
    await Promise.all([...this.#pools.values()].map(({ settled }) => settled));
  }

  /** Looks from now on, until it is disposed. While the store is away the pools stay as they are. */
  poll(): void {
    const { clock, log } = this.#options;
    let failing = false;
    this.#polling = (async () => {
      while (!this.#stop.signal.aborted) {
        await clock.sleep(limits.providerConfigsPollMs, this.#stop.signal);
        if (this.#stop.signal.aborted) return;
        try {
          await this.look();
          failing = false;
        } catch (error) {
          if (!failing)
            log.warn({ err: error }, 'the providers cannot be read; those that are known stay in use');
          failing = true;
        }
      }
    })();
  }

  #follow(known: TenantPool): void {
    known.settled = known.settled.then(() => this.#apply(known));
  }

  /** What is as it was keeps its breaker, its rate and its connections; what is new is opened, what is gone ends its calls. */
  async #apply({ pool, tenant, channel }: TenantPool): Promise<void> {
    const configs = this.#configs.get(keyOf(tenant, channel)) ?? [];
    const members: Member[] = [];
    for (const config of configs) {
      const { name, version, position, weight, draining } = config;
      const place = { position, weight, draining };
      const known = pool.members.find(
        (each) => each.tenant === tenant && each.provider.name === name && each.version === version,
      );
      if (known) {
        known.place = place;
        members.push(known);
        continue;
      }
      const opened = await this.#options.open(config);
      if (opened.again) this.#again = true;
      members.push(this.#member(opened, place, { tenant, version: opened.again ? 0 : version }));
    }
    const gone = pool.members.filter((each) => !members.includes(each) && !this.#defaults.includes(each));
    pool.members = members.length > 0 ? members : this.#defaultsOf(channel);
    if (configs.length === 0) this.#pools.delete(keyOf(tenant, channel));
    for (const member of gone) this.#leave(member);
    this.#options.onChange();
  }

  #leave(member: Member): void {
    const { log } = this.#options;
    const left = member[Symbol.asyncDispose]()
      .catch((error: unknown) => log.warn({ err: error }, 'a provider was not closed as it should'))
      .finally(() => this.#leaving.delete(left));
    this.#leaving.add(left);
  }

  /** Resolves when every provider is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#polling;
    await Promise.all([...this.#pools.values()].map(({ settled }) => settled));
    for (const member of this.members) this.#leave(member);
    await Promise.all(this.#leaving);
  }
}
