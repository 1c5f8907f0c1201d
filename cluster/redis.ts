// The connection to Redis: reconnects by itself, refuses at once while it is away, never brings the process down.
import { createClient } from 'redis';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { inTime } from '../runtime/in-time.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';

export interface RedisOptions {
  /** `redis[s]://[user:password@]host:port[/database]` */
  url: string;
  /** Before every key; for meshes that share a Redis. */
  prefix?: string;
  log: Log;
  clock: Clock;
  /** A connection without any answer for so long is given up. Default: `limits.redisSilentMs`. */
  silentMs?: number;
}

const unavailable = (cause?: unknown) => new CarillonError('CLUSTER_UNAVAILABLE', undefined, { cause });

const PREFIX = 'carillon:';

function connectTo({ url, prefix = PREFIX, log, silentMs = limits.redisSilentMs }: RedisOptions) {
  const [firstMs, lastMs] = limits.redisReconnectMs;
  let away = false;
  const client = createClient({
    url,
    keyPrefix: prefix,
    name: 'carillon',
    // What cannot be said now is stale when it could be: presence is written anew instead.
    disableOfflineQueue: true,
    commandsQueueMaxLength: limits.redisQueueCount,
    pingInterval: limits.redisPingMs,
    socket: {
      connectTimeout: limits.redisConnectMs,
      socketTimeout: silentMs,
      reconnectStrategy: (retries) => Math.min(firstMs * 2 ** Math.min(retries, 10), lastMs),
    },
  });
  client.on('error', (error: unknown) => {
    if (!away) log.warn({ err: error }, 'Redis is away');
    away = true;
  });
  client.on('ready', () => {
    if (away) log.info('Redis is back');
    away = false;
  });
  return client;
}

export type RedisClient = ReturnType<typeof connectTo>;

export class RedisConnection implements AsyncDisposable {
  readonly #client: RedisClient;
  readonly #clock: Clock;
  readonly #prefix: string;
  #closed = false;

  /** Begins to connect, and never gives up. */
  constructor(options: RedisOptions) {
    this.#clock = options.clock;
    this.#prefix = options.prefix ?? PREFIX;
    this.#client = connectTo(options);
    this.#client.connect().catch(() => {});
  }

  /** Runs `work`; rejects with CLUSTER_UNAVAILABLE when it fails or takes longer than `ms`. */
  async run<T>(work: (client: RedisClient) => Promise<T>, ms: number = limits.redisCommandMs): Promise<T> {
    try {
      return await inTime(this.#clock, ms, work(this.#client), unavailable);
    } catch (error) {
      throw error instanceof CarillonError ? error : unavailable(error);
    }
  }

  /** Called whenever a connection stands: what could not be said before may be said now. */
  onReady(listener: () => void): void {
    this.#client.on('ready', listener);
  }

  /** Calls `listener` with what is published under the prefixed `name`, for as long as the connection lives. A hint: while it is broken nothing comes. */
  subscribe(name: string, listener: (message: string) => void): void {
    let subscribed = false;
    this.onReady(() => {
      // The client itself subscribes again after it has reconnected.
      if (subscribed) return;
      subscribed = true;
      this.#client.subscribe(`${this.#prefix}${name}`, listener).catch(() => {
        subscribed = false;
      });
    });
  }

  /** Resolves once Redis answers, or after `redisConnectMs`. */
  async settled(): Promise<void> {
    if (this.#client.isReady) return;
    const ready = new Promise<void>((resolve) => this.#client.once('ready', resolve));
    await inTime(this.#clock, limits.redisConnectMs, ready, unavailable).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#client.isReady)
        await inTime(this.#clock, limits.redisCommandMs, this.#client.close(), unavailable);
    } catch {
      // It is gone anyway.
    }
    if (this.#client.isOpen) this.#client.destroy();
  }
}
