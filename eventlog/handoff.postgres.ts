// A transaction's records are appended by the transaction itself; what waits is what the readers have not finished.
import { type Clock, systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Queryable } from '../storage/database.ts';
import type { PostgresEventLog } from './event-log.postgres.ts';
import type { Backlog, Handoff, LogRecord, Written } from './event-log.ts';
import { fanoutTopic, lanes, rawTopic } from './topics.ts';

/** By these a notification begins its way; ingest sheds when they grow, not because a provider is slow. */
const FIRST_TOPICS = lanes.flatMap((lane) => [rawTopic(lane), fanoutTopic(lane)]);

// Counted by offsets, weighed by the oldest record of each partition: no row is read twice.
const SAMPLE = `
select coalesce(sum((w.next_offset - r."offset") * r.bytes), 0)::float8 as bytes, min(r.appended_at) as oldest
from (
  select h.topic, h.partition, h.next_offset, coalesce(min(c.position), 0) as position
  from log_heads h left join log_cursors c on c.topic = h.topic and c.partition = h.partition
  where h.topic = any($1)
  group by h.topic, h.partition, h.next_offset
  having h.next_offset > coalesce(min(c.position), 0)
) w
cross join lateral (
  select l."offset", l.appended_at,
    octet_length(l.key) + octet_length(l.value) + octet_length(l.headers::text) as bytes
  from log_records l
  where l.topic = w.topic and l.partition = w.partition and l."offset" >= w.position
  order by l."offset" limit 1
) r`;

export interface PostgresHandoffOptions {
  eventLog: PostgresEventLog;
  log: Log;
  clock?: Clock;
}

export class PostgresHandoff implements Handoff {
  readonly #eventLog: PostgresEventLog;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #sampling: Promise<void>;
  #backlog: Backlog = { bytes: 0, oldestMs: 0 };
  #wrote = true;

  constructor({ eventLog, log, clock = systemClock }: PostgresHandoffOptions) {
    this.#eventLog = eventLog;
    this.#log = log;
    this.#clock = clock;
    this.#sampling = this.#sampleForever();
  }

  async write(tx: Queryable, records: readonly LogRecord[]): Promise<Written> {
    this.#wrote = true;
    return await this.#eventLog.appendIn(tx, records);
  }

  backlog(): Backlog {
    return this.#backlog;
  }

  async #sampleForever(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // A process that writes nothing has nothing to hold back, and need not ask.
      if (this.#wrote || this.#backlog.bytes > 0) {
        this.#wrote = false;
        try {
          await this.#sample();
        } catch (error) {
          this.#wrote = true;
          this.#log.debug({ err: error }, 'the backlog of the log could not be read');
        }
      }
      await this.#clock.sleep(limits.backlogSampleMs, signal);
    }
  }

  async #sample(): Promise<void> {
    const { rows } = await this.#eventLog.readDb.query<{ bytes: number; oldest: Date | null }>({
      name: 'log-backlog',
      text: SAMPLE,
      values: [FIRST_TOPICS],
    });
    const oldest = rows[0]?.oldest;
    this.#backlog = {
      bytes: rows[0]?.bytes ?? 0,
      oldestMs: oldest ? Math.max(0, this.#clock.now() - oldest.getTime()) : 0,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#sampling;
  }
}
