// One member of a group on the PostgreSQL log: holds its share of the partitions, fills their workers, gives them back.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';
import type { ReceivedRecord, SubscribeOptions } from './event-log.ts';
import type { Appended } from './log-append.postgres.ts';
import {
  claim,
  commit,
  type Finished,
  type Head,
  join,
  leave,
  type Survey,
  shareOut,
} from './log-leases.postgres.ts';
import { PartitionWorker, Slots } from './partition-worker.ts';

/** What a consumer needs of the process's reader. */
export interface ConsumerHost {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether the leases of this process surely hold at this moment. */
  holds(): boolean;
  /** Takes note of a finished offset; it is committed soon. */
  finished(consumer: LogConsumer, finished: Finished): void;
  /** Asks for a new look at members and heads, here and (`everywhere`) in other processes. */
  survey(everywhere: boolean): void;
}

interface Owned {
  topic: string;
  partition: number;
  fence: number;
  /** The next offset that the partition will give out, as far as we know. */
  head: bigint;
  /** Finished up to here. */
  position: bigint;
  worker: PartitionWorker;
  /** It moves to another member as soon as its batch is done. */
  leaving: boolean;
}

interface RecordRow {
  topic: string;
  partition: number;
  offset: string;
  key: string;
  value: Buffer;
  headers: Record<string, string>;
  appended_at_ms: number;
}

/** topics, partitions, first offsets, records at most of each. */
export const READ = `
select r.topic, r.partition, r."offset", r.key, r.value, r.headers,
  (extract(epoch from r.appended_at) * 1000)::float8 as appended_at_ms
from unnest($1::text[], $2::smallint[], $3::bigint[]) as w(topic, partition, "from")
cross join lateral (
  select * from log_records l
  where l.topic = w.topic collate "C" and l.partition = w.partition and l."offset" >= w."from"
  order by l."offset" limit $4
) r`;

const nameOf = (topic: string, partition: number) => `${topic}/${partition}`;

export class LogConsumer {
  readonly member: string;
  readonly group: string;
  readonly topics: readonly string[];
  readonly #host: ConsumerHost;
  readonly #options: SubscribeOptions;
  /** Of each topic: one that is stuck leaves the others theirs. */
  readonly #slots: ReadonlyMap<string, Slots>;
  readonly #owned = new Map<string, Owned>();
  /** Batches of partitions that were lost while in flight: whoever takes the partition again waits for them. */
  readonly #draining = new Map<string, Promise<void>>();
  readonly #ready = Promise.withResolvers<void>();
  #reading = false;
  #closing = false;

  constructor(host: ConsumerHost, member: string, options: SubscribeOptions) {
    this.#host = host;
    this.#options = options;
    this.member = member;
    this.group = options.group;
    this.topics = [...new Set(options.topics)];
    this.#slots = new Map(this.topics.map((topic) => [topic, new Slots()]));
  }

  ready(): Promise<void> {
    return this.#ready.promise;
  }

  join(): Promise<void> {
    return join(this.#host.db, this);
  }

  /** Comes to own what it should, given who else there is. */
  async rebalance({ members, renewed }: Survey): Promise<void> {
    if (this.#closing) return;
    if (!renewed.has(this.member)) {
      this.lapse();
      await this.join();
      this.#host.survey(true);
      return;
    }
    const share = shareOut(members, this.group, this.topics, this.member);
    const names = new Set(share.map(({ topic, partition }) => nameOf(topic, partition)));
    for (const [name, owned] of this.#owned) if (!names.has(name)) void this.#revoke(name, owned);
    const missing = share.filter(({ topic, partition }) => {
      const name = nameOf(topic, partition);
      return !this.#owned.has(name) && !this.#draining.has(name);
    });
    if (missing.length > 0) {
      const claimed = await claim(this.#host.db, this.group, this.member, missing);
      for (const each of claimed) this.#own(each);
      if (claimed.length > 0) this.#host.survey(false);
    }
    if (share.length === 0 || this.#owned.size > 0) this.#ready.resolve();
  }

  #own(claimed: { topic: string; partition: number; position: bigint; fence: number }): void {
    if (this.#closing) return;
    const { topic, partition, position, fence } = claimed;
    const name = nameOf(topic, partition);
    const { clock, log } = this.#host;
    const owned: Owned = {
      topic,
      partition,
      fence,
      position,
      head: position,
      leaving: false,
      worker: new PartitionWorker({
        topic,
        partition,
        position,
        handler: this.#options,
        slots: this.#slots.get(topic) ?? new Slots(),
        clock,
        log,
        holds: () => this.#host.holds() && !owned.leaving,
        onProgress: (upto) => {
          owned.position = upto;
          if (this.#owned.get(name) !== owned) return;
          this.#host.finished(this, { group: this.group, topic, partition, fence, position: upto });
        },
        onRoom: () => void this.#read(),
      }),
    };
    this.#owned.set(name, owned);
  }

  /** Records that this process has just committed: taken as they are if they follow what we have, else read. */
  appended({ topic, partition, first, records }: Appended): void {
    const owned = this.#owned.get(nameOf(topic, partition));
    if (!owned || owned.leaving) return;
    const next = first + BigInt(records.length);
    if (next > owned.head) owned.head = next;
    if (owned.worker.next === first && owned.worker.room >= records.length) owned.worker.offer(records);
    else if (owned.worker.next < next) void this.#read();
  }

  grown({ topic, partition, next }: Head): void {
    const owned = this.#owned.get(nameOf(topic, partition));
    if (!owned || next <= owned.head) return;
    owned.head = next;
    void this.#read();
  }

  /** One query for all partitions that have something to read, one at a time. */
  async #read(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    try {
      for (let asked = this.#toRead(); asked.length > 0; asked = this.#toRead()) await this.#readOf(asked);
    } catch (error) {
      this.#host.log.warn({ err: error, group: this.group }, 'the log cannot be read; trying again');
      this.#host.clock.after(limits.logReadRetryMs, () => void this.#read());
    } finally {
      this.#reading = false;
    }
  }

  #toRead(): Owned[] {
    if (this.#closing) return [];
    return [...this.#owned.values()].filter(
      ({ leaving, head, worker }) => !leaving && head > worker.next && worker.room >= limits.logBatchRecords,
    );
  }

  async #readOf(asked: readonly Owned[]): Promise<void> {
    const heads = asked.map(({ head }) => head);
    const { rows } = await this.#host.db.query<RecordRow>({
      name: 'log-read',
      text: READ,
      values: [
        asked.map(({ topic }) => topic),
        asked.map(({ partition }) => partition),
        asked.map(({ worker }) => worker.next),
        limits.logBatchRecords,
      ],
    });
    const found = Map.groupBy(rows, (row) => nameOf(row.topic, row.partition));
    for (const [index, owned] of asked.entries()) {
      const records = found.get(nameOf(owned.topic, owned.partition));
      if (records) owned.worker.offer(records.map(toRecord));
      else owned.worker.skipTo(heads[index] ?? 0n);
    }
  }

  /** Lets the batch in flight end, then gives the partition back. */
  async #revoke(name: string, owned: Owned): Promise<void> {
    if (owned.leaving) return;
    owned.leaving = true;
    await this.#settle(owned.worker.settled());
    if (this.#owned.get(name) !== owned) return;
    const { group } = this;
    const { topic, partition, fence, position } = owned;
    const stopped = owned.worker.stop();
    this.#owned.delete(name);
    this.#drain(name, stopped);
    try {
      await commit(this.#host.db, [{ group, topic, partition, fence, position }], true);
      this.#host.survey(true);
    } catch (error) {
      this.#host.log.warn({ err: error, group }, 'a partition was not given back; its lease will end');
    }
  }

  /** Somebody else has it: what is in flight is told to stop, and nothing of it is committed. */
  lost({ topic, partition, fence }: { topic: string; partition: number; fence: number }): void {
    const name = nameOf(topic, partition);
    const owned = this.#owned.get(name);
    if (owned?.fence !== fence) return;
    this.#host.log.warn(
      { group: this.group, topic, partition },
      'a partition of the log was lost to another member',
    );
    this.#owned.delete(name);
    this.#drain(name, owned.worker.stop());
  }

  /** The lease of this member is not certain any more: everything may be somebody else's. */
  lapse(): void {
    for (const owned of [...this.#owned.values()]) this.lost(owned);
  }

  #drain(name: string, stopped: Promise<void>): void {
    const draining = stopped.finally(() => {
      if (this.#draining.get(name) !== draining) return;
      this.#draining.delete(name);
      if (!this.#closing) this.#host.survey(false);
    });
    this.#draining.set(name, draining);
  }

  /** Waits for `work`, at most `logRevokeMs`. */
  async #settle(work: Promise<unknown>): Promise<void> {
    const done = new AbortController();
    await Promise.race([
      work.finally(() => done.abort()),
      this.#host.clock.sleep(limits.logRevokeMs, done.signal),
    ]);
    done.abort();
  }

  /** Waits for the batches in flight, commits them and gives everything back. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    this.#ready.resolve();
    const { db, log } = this.#host;
    const all = [...this.#owned.values()];
    await this.#settle(Promise.all(all.map(({ worker }) => worker.stop())));
    this.#owned.clear();
    const finished = all.map(({ topic, partition, fence, position }) => ({
      group: this.group,
      topic,
      partition,
      fence,
      position,
    }));
    try {
      if (finished.length > 0) await commit(db, finished, true);
      await leave(db, this.group, this.member);
    } catch (error) {
      log.warn({ err: error, group: this.group }, 'the group was not left in order; the lease will end');
    }
  }
}

function toRecord(row: RecordRow): ReceivedRecord {
  return {
    topic: row.topic,
    partition: row.partition,
    offset: BigInt(row.offset),
    key: row.key,
    value: row.value,
    headers: row.headers,
    appendedAtMs: row.appended_at_ms,
  };
}
