// Tells other processes that the log has grown or that a group has changed: debounced, never in the appending transaction.
import pg from 'pg';
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';
import type { Head } from './log-leases.postgres.ts';

const CHANNEL = 'carillon_log';
/** PostgreSQL takes payloads below 8,000 bytes. */
const PAYLOAD_BYTES = 7_900;

interface Message {
  from: string;
  /** [topic, partition, next offset] */
  heads?: [string, number, string][];
  /** Members joined, left or gave something back, or there was too much to say: look for yourself. */
  survey?: boolean;
}

export interface WakeupListener {
  grown(heads: readonly Head[]): void;
  changed(): void;
}

export class Wakeups implements AsyncDisposable {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #self: string;
  readonly #listener: WakeupListener;
  readonly #grown = new Map<string, Head>();
  #survey = false;
  #timer: Timer | undefined;
  #client: pg.Client | undefined;
  #retry: Timer | undefined;
  #sending: Promise<void> = Promise.resolve();
  #connecting: Promise<void> | undefined;
  #closed = false;

  constructor(options: { db: Database; clock: Clock; log: Log; self: string; listener: WakeupListener }) {
    this.#db = options.db;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#self = options.self;
    this.#listener = options.listener;
  }

  /** Begins to listen; resolves after the first attempt, whatever came of it. Any number of times. */
  listen(): Promise<void> {
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  announceGrowth(heads: readonly Head[]): void {
    for (const head of heads) {
      const key = `${head.topic}/${head.partition}`;
      const known = this.#grown.get(key);
      if (!known || known.next < head.next) this.#grown.set(key, head);
    }
    this.#schedule();
  }

  announceChange(): void {
    this.#survey = true;
    this.#schedule();
  }

  /** What was announced until now is sent when this resolves. */
  async flush(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#send();
    await this.#sending;
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer ??= this.#clock.after(limits.logNotifyDelayMs, () => {
      this.#timer = undefined;
      this.#send();
    });
  }

  #send(): void {
    if (this.#grown.size === 0 && !this.#survey) return;
    const message: Message = { from: this.#self };
    if (this.#grown.size > 0)
      message.heads = [...this.#grown.values()].map((head) => [head.topic, head.partition, `${head.next}`]);
    if (this.#survey) message.survey = true;
    this.#grown.clear();
    this.#survey = false;
    let payload = JSON.stringify(message);
    if (Buffer.byteLength(payload) > PAYLOAD_BYTES)
      payload = JSON.stringify({ from: this.#self, survey: true } satisfies Message);
    // A wake-up that is lost costs a reader up to `logTickMs`.
    this.#sending = this.#sending
      .then(() =>
        this.#db.query({
          name: 'log-notify',
          text: 'select pg_notify($1, $2)',
          values: [CHANNEL, payload],
        }),
      )
      .then(
        () => {},
        (error: unknown) => this.#log.debug({ err: error }, 'a wake-up of the log was not sent'),
      );
  }

  async #connect(): Promise<void> {
    if (this.#closed) return;
    const client = new pg.Client({
      connectionString: this.#db.url,
      application_name: 'carillon log listener',
      connectionTimeoutMillis: limits.databaseConnectMs,
      keepAlive: true,
    });
    let over = false;
    const again = () => {
      if (over) return;
      over = true;
      client.end().catch(() => {});
      if (this.#client === client) this.#client = undefined;
      if (this.#closed) return;
      this.#retry = this.#clock.after(limits.logListenRetryMs, () => void this.#connect());
    };
    client.on('error', again);
    client.on('end', again);
    client.on('notification', ({ payload }) => this.#receive(payload ?? ''));
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
      this.#client = client;
      if (this.#closed) await client.end();
      // What was said while we did not listen.
      else this.#listener.changed();
    } catch {
      again();
    }
  }

  #receive(payload: string): void {
    // Only processes of this mesh write to the channel, but anybody with the database could.
    let message: Message;
    try {
      message = JSON.parse(payload) as Message;
      if (message.from === this.#self) return;
      const heads = (message.heads ?? []).map(([topic, partition, next]) => ({
        topic,
        partition,
        next: BigInt(next),
      }));
      if (heads.length > 0) this.#listener.grown(heads);
    } catch {
      message = { from: '', survey: true };
    }
    if (message.survey) this.#listener.changed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#retry?.[Symbol.dispose]();
    await this.#sending;
    await this.#client?.end().catch(() => {});
  }
}
