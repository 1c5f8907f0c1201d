// A transaction's records wait in the outbox until the log has them; the process that wrote them publishes them after the commit.
//
// What holds for records of one key: those that one process writes in transactions that commit one after the other
// are published in that order, also while the log is away and when it comes back, because the sweep goes by `id`, by
// one process at a time for each lane, and a process that has something waiting for the sweep sends all of the lane's
// records that way. After a crash of the process its rows come when their lease has run out; what others wrote for
// the key meanwhile is before them. Any record may come twice.
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { type Ids, systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { type Tracing, tracingOff } from '../runtime/tracing.ts';
import { type Database, openDatabase, type Queryable } from '../storage/database.ts';
import { insertOutbox, sampleOutbox } from '../storage/outbox.ts';
import type { Backlog, EventLog, Handoff, LogRecord, Written } from './event-log.ts';
import { OutboxLane, type QueuedRow } from './outbox-lane.ts';
import { laneOfTopic, lanes } from './topics.ts';

export interface OutboxHandoffOptions {
  db: Database;
  eventLog: Pick<EventLog, 'append'>;
  log: Log;
  clock?: Clock;
  ids?: Ids;
  tracing?: Tracing;
  metrics?: Pick<Metrics, 'outboxOldestAge'>;
}

/** The next id after `last`, where the generator gave one that is not larger: within a millisecond they are in no order. */
function rising(id: string, last: string): string {
  if (id > last) return id;
  const next = (BigInt(`0x${last.replaceAll('-', '')}`) + 1n).toString(16).padStart(32, '0');
  return [next.slice(0, 8), next.slice(8, 12), next.slice(12, 16), next.slice(16, 20), next.slice(20)].join(
    '-',
  );
}

export class OutboxHandoff implements Handoff {
  readonly #own: Database;
  readonly #clock: Clock;
  readonly #ids: Ids;
  readonly #log: Log;
  readonly #metrics: Pick<Metrics, 'outboxOldestAge'> | undefined;
  readonly #owner: string;
  readonly #lanes: ReadonlyMap<Lane, OutboxLane>;
  readonly #stop = new AbortController();
  readonly #sampling: Promise<void>;
  #backlog: Backlog = { bytes: 0, oldestMs: 0 };
  #lastId = '';
  #closing: Promise<void> | undefined;

  constructor(options: OutboxHandoffOptions) {
    const { db, eventLog, log, clock = systemClock, ids = systemIds, tracing = tracingOff } = options;
    this.#clock = clock;
    this.#ids = ids;
    this.#log = log;
    this.#metrics = options.metrics;
    this.#owner = ids.uuid();
    // Leases and deletions that a crash of the server takes back lead to a second publication, no more.
    this.#own = openDatabase({
      url: db.url,
      connections: limits.outboxConnectionsCount,
      name: 'carillon outbox',
      clock,
      settings: { synchronous_commit: 'off', enable_seqscan: 'off', jit: 'off' },
    });
    const context = { db: this.#own, eventLog, owner: this.#owner, clock, log, tracing };
    this.#lanes = new Map<Lane, OutboxLane>(lanes.map((lane) => [lane, new OutboxLane(lane, context)]));
    this.#sampling = this.#sampleForever();
  }

  async write(tx: Queryable, records: readonly LogRecord[]): Promise<Written> {
    if (records.length === 0) return { committed: () => {} };
    const leased = new Set<Lane>(lanes.filter((lane) => this.#lanes.get(lane)?.leases));
    const createdAtMs = this.#clock.now();
    // Half the lease is for the produce: a row is never published by two processes because one was slow.
    const leaseEndMs = this.#clock.monotonic() + limits.outboxLeaseMs / 2;
    const rows = records.map((record): QueuedRow => {
      this.#lastId = rising(this.#ids.uuid(), this.#lastId);
      const lane = laneOfTopic(record.topic);
      return { ...record, id: this.#lastId, lane, createdAtMs, leaseEndMs };
    });
    const byLane = Map.groupBy(rows, (row) => row.lane);
    const ended = [...byLane.keys()].map((lane) =>
      leased.has(lane) ? undefined : this.#lanes.get(lane)?.writesForSweep(),
    );
    try {
      await insertOutbox(tx, rows, this.#owner, leased);
    } catch (error) {
      for (const end of ended) end?.();
      throw error;
    }
    return {
      committed: () => {
        for (const end of ended) end?.();
        for (const [lane, of] of byLane) if (leased.has(lane)) this.#lanes.get(lane)?.offer(of);
      },
    };
  }

  backlog(): Backlog {
    return this.#backlog;
  }

  async #sampleForever(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const samples = await sampleOutbox(this.#own, lanes);
        this.#backlog = {
          bytes: samples.reduce((sum, { bytes }) => sum + bytes, 0),
          oldestMs: Math.max(0, ...samples.map(({ oldestMs }) => oldestMs)),
        };
        this.#metrics?.outboxOldestAge.record(this.#backlog.oldestMs / 1_000);
        for (const { lane, expired } of samples) this.#lanes.get(lane)?.sweep(expired);
      } catch (error) {
        this.#log.debug({ err: error }, 'the outbox could not be sampled');
      }
      await this.#clock.sleep(limits.outboxSweepMs, signal);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    await this.#sampling;
    await Promise.all([...this.#lanes.values()].map((lane) => lane.close()));
    await this.#own[Symbol.asyncDispose]();
  }
}
