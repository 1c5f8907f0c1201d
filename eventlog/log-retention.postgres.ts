// Removes what every group has finished from the PostgreSQL log, a bounded number of rows at a time.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';

// A topic that no group has ever read keeps its records until they are too old. `low` is where the last round ended:
// without it each round would walk over the index entries of what it deleted before.
const REMOVE = `
with bounds as (
  select h.topic, h.partition, coalesce(min(c.position), 0) as upto, coalesce(l.low, 0) as low
  from log_heads h
  left join log_cursors c on c.topic = h.topic and c.partition = h.partition
  left join unnest($1::text[], $2::smallint[], $3::bigint[]) as l(topic, partition, low)
    on l.topic = h.topic and l.partition = h.partition
  group by h.topic, h.partition, l.low, h.next_offset
  having h.next_offset > coalesce(l.low, 0)
), doomed as (
  select r.topic, r.partition, r."offset" from bounds b cross join lateral (
    select l.topic, l.partition, l."offset" from log_records l
    where l.topic = b.topic and l.partition = b.partition and l."offset" >= b.low
      and (l."offset" < b.upto or l.appended_at < now() - $5 * interval '1 ms')
    order by l."offset" limit $4
  ) r limit $4
), removed as (
  delete from log_records l using doomed d
  where l.topic = d.topic and l.partition = d.partition and l."offset" = d."offset"
  returning l.topic, l.partition, l."offset"
)
select topic, partition, max("offset") + 1 as low, count(*) as records from removed group by topic, partition`;

export class LogRetention {
  readonly #db: Database;
  readonly #log: Log;
  readonly #low = new Map<string, { topic: string; partition: number; low: string }>();

  constructor({ db, log }: { db: Database; log: Log }) {
    this.#db = db;
    this.#log = log;
  }

  /** One round by one process at a time. Returns how many records were removed. */
  async run(): Promise<number> {
    return await this.#db.transaction(async (tx) => {
      const { rows: lock } = await tx.query<{ mine: boolean }>({
        text: `select pg_try_advisory_xact_lock(hashtextextended('carillon log retention', 0)) as mine`,
      });
      if (!lock[0]?.mine) return 0;
      const known = [...this.#low.values()];
      const { rows } = await tx.query<{ topic: string; partition: number; low: string; records: string }>({
        name: 'log-retention',
        text: REMOVE,
        values: [
          known.map(({ topic }) => topic),
          known.map(({ partition }) => partition),
          known.map(({ low }) => low),
          limits.logRetentionRecords,
          limits.logKeptMs,
        ],
      });
      for (const row of rows) this.#low.set(`${row.topic}/${row.partition}`, row);
      return rows.reduce((sum, row) => sum + Number(row.records), 0);
    });
  }

  /** Runs a round every `logRetentionTickMs`, at once again while there is more. */
  start(clock: Clock): AsyncDisposable {
    const stop = new AbortController();
    const loop = async () => {
      while (!stop.signal.aborted) {
        let removed = 0;
        try {
          removed = await this.run();
        } catch (error) {
          this.#log.debug({ err: error }, 'retention of the log did not run; trying again');
        }
        const more = removed >= limits.logRetentionRecords;
        await clock.sleep(more ? limits.logNotNowMs[0] : limits.logRetentionTickMs, stop.signal);
      }
    };
    const running = loop();
    return {
      async [Symbol.asyncDispose]() {
        stop.abort();
        await running;
      },
    };
  }
}
