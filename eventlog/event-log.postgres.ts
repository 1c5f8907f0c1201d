// The event log on PostgreSQL tables: an append is part of the caller's transaction, readers in this process are handed it directly.
import { type Clock, systemClock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { type Ids, systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import { type Database, openDatabase, type Queryable } from '../storage/database.ts';
import type { EventLog, Lag, LogRecord, SubscribeOptions, Subscription, Written } from './event-log.ts';
import { appendRecords } from './log-append.postgres.ts';
import { LogReader } from './log-reader.postgres.ts';
import { LogRetention } from './log-retention.postgres.ts';

export interface PostgresEventLogOptions {
  /** For appends; readers open `limits.logConnectionsCount` connections of their own to the same database. */
  db: Database;
  log: Log;
  clock?: Clock;
  ids?: Ids;
}

/** Of the connections on which the log reads, commits positions and keeps its leases. */
export const readSettings = {
  // A position that a crash of the server takes back is read again, no more. Appends are not made here.
  synchronous_commit: 'off',
  // Plans are made while tables are small, and kept when they are not: always by the key.
  enable_seqscan: 'off',
  plan_cache_mode: 'force_generic_plan',
  jit: 'off',
} as const;

const CREATE = `
insert into log_heads (topic, partition)
select topic, partition from unnest($1::text[]) as t(topic), generate_series(0, $2::integer - 1) as partition
order by topic collate "C", partition
on conflict do nothing`;

// What a group has not finished begins at its position, or at the first record that is still there.
const LAG = `
select h.topic, coalesce(sum(h.next_offset - r."offset"), 0) as records, min(r.appended_at) as oldest
from log_heads h
left join log_cursors c on c."group" = $1 and c.topic = h.topic and c.partition = h.partition
left join lateral (
  select l."offset", l.appended_at from log_records l
  where l.topic = h.topic and l.partition = h.partition and l."offset" >= coalesce(c.position, 0)
  order by l."offset" limit 1
) r on true
where h.topic = any($2)
group by h.topic`;

/** Anything the database says while it cannot answer is, to users of the log, a log that does not answer. */
function logError(error: unknown): unknown {
  return error instanceof CarillonError && error.reason === 'STORE_UNAVAILABLE'
    ? new CarillonError('LOG_UNAVAILABLE', undefined, { cause: error, retryAfterMs: error.retryAfterMs })
    : error;
}

export class PostgresEventLog implements EventLog {
  readonly #db: Database;
  readonly #own: Database;
  readonly #clock: Clock;
  readonly #reader: LogReader;
  readonly #retention: AsyncDisposable;
  #closing: Promise<void> | undefined;

  constructor({ db, log, clock = systemClock, ids = systemIds }: PostgresEventLogOptions) {
    this.#db = db;
    this.#clock = clock;
    this.#own = openDatabase({
      url: db.url,
      connections: limits.logConnectionsCount,
      name: 'carillon log',
      clock,
      settings: readSettings,
    });
    this.#reader = new LogReader({ db: this.#own, clock, log, ids });
    this.#retention = new LogRetention({ db: this.#own, log }).start(clock);
  }

  /** The connections on which the log reads: not for anything that must be durable when it returns. */
  get readDb(): Database {
    return this.#own;
  }

  async createTopics(topics: readonly string[]): Promise<void> {
    await this.#own
      .query({ name: 'log-create', text: CREATE, values: [topics, limits.logPartitionsCount] })
      .catch((error: unknown) => Promise.reject(logError(error)));
  }

  async append(records: readonly LogRecord[]): Promise<void> {
    try {
      (await this.appendIn(this.#db, records)).committed();
    } catch (error) {
      throw logError(error);
    }
  }

  /** Appends within the caller's transaction; `committed` then wakes the readers. */
  async appendIn(tx: Queryable, records: readonly LogRecord[]): Promise<Written> {
    const appended = await appendRecords(tx, records, this.#clock.now());
    return { committed: () => this.#reader.appended(appended) };
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    await this.createTopics(options.topics);
    return await this.#reader.subscribe(options).catch((error: unknown) => Promise.reject(logError(error)));
  }

  async lag(group: string, topics: readonly string[]): Promise<Lag[]> {
    const { rows } = await this.#own
      .query<{ topic: string; records: string; oldest: Date | null }>({
        name: 'log-lag',
        text: LAG,
        values: [group, topics],
      })
      .catch((error: unknown) => Promise.reject(logError(error)));
    const found = new Map(rows.map((row) => [row.topic, row]));
    return topics.map((topic) => {
      const row = found.get(topic);
      const oldestMs = row?.oldest ? Math.max(0, this.#clock.now() - row.oldest.getTime()) : 0;
      return { topic, records: BigInt(row?.records ?? 0), oldestMs };
    });
  }

  async ping(): Promise<void> {
    await this.#own.query({ text: 'select 1' }).catch((error: unknown) => Promise.reject(logError(error)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
    await this.#retention[Symbol.asyncDispose]();
    await this.#own[Symbol.asyncDispose]();
  }
}
