// Publishes one lane of the outbox: directly after the commit while all goes well, else through the sweep, one batch at a time.
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Tracing } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import { insertDeadLetter } from '../storage/dead-letters.ts';
import { claimOutbox, deleteOutbox, releaseOutbox, type SweptRow } from '../storage/outbox.ts';
import { isNotNow } from './deliver.ts';
import type { EventLog } from './event-log.ts';
import { outboxWaited } from './waits.ts';

export interface OutboxContext {
  db: Database;
  eventLog: Pick<EventLog, 'append'>;
  /** Of this process, in `lease_owner`. */
  owner: string;
  clock: Clock;
  log: Log;
  tracing: Tracing;
}

export interface QueuedRow extends SweptRow {
  /** By the monotonic clock: later than this the sweep may have taken it. */
  leaseEndMs: number;
}

const bytesOf = (row: SweptRow) => row.value.byteLength + row.key.length + 200;

export class OutboxLane {
  readonly #lane: Lane;
  readonly #context: OutboxContext;
  /**
   * `swept`: something of this process waits for the sweep. What is written now waits behind it, else it would
   * overtake an older record of its key. `turning`: nothing was found for the sweep any more; what is written now is
   * leased and waits in the queue until everything that was written for the sweep has been seen by it.
   */
  #mode: 'direct' | 'turning' | 'swept' = 'direct';
  /** Writes for the sweep whose transactions may not have ended: when they began, by the monotonic clock. */
  readonly #unseen = new Set<{ sinceMs: number }>();
  #queue: QueuedRow[] = [];
  #queuedBytes = 0;
  #publishing: Promise<void> | undefined;
  #sweeping: Promise<void> | undefined;
  #published: string[] = [];
  #toRelease: string[] = [];
  #cleanTimer: Timer | undefined;
  #cleaning: Promise<void> = Promise.resolve();
  #away = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  readonly #stop = new AbortController();
  #closed = false;

  constructor(lane: Lane, context: OutboxContext) {
    this.#lane = lane;
    this.#context = context;
  }

  /** Whether rows are to be written leased to this process. */
  get leases(): boolean {
    return this.#mode !== 'swept';
  }

  /** A transaction is about to write rows for the sweep. Returns what to call when it is known to have ended. */
  writesForSweep(): () => void {
    const write = { sinceMs: this.#context.clock.monotonic() };
    this.#unseen.add(write);
    return () => void this.#unseen.delete(write);
  }

  /** Rows that were written leased to this process and are committed now. Never throws, never waits. */
  offer(rows: readonly QueuedRow[]): void {
    const bytes = rows.reduce((sum, row) => sum + bytesOf(row), 0);
    const fits =
      this.#queue.length + rows.length <= limits.outboxQueueRecords &&
      this.#queuedBytes + bytes <= limits.outboxQueueBytes;
    if (this.#mode !== 'swept' && fits && !this.#stop.signal.aborted) {
      for (const row of rows) this.#queue.push(row);
      this.#queuedBytes += bytes;
      if (this.#mode === 'direct') this.#publishing ??= this.#publish();
      return;
    }
    if (this.#mode !== 'swept') this.#leaveToSweep([]);
    this.#release(rows.map((row) => row.id));
  }

  async #publish(): Promise<void> {
    // One turn of the loop: commits that end together are published together.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, limits.outboxBatchRecords);
      for (const row of batch) this.#queuedBytes -= bytesOf(row);
      const nowMs = this.#context.clock.monotonic();
      if (batch.some((row) => row.leaseEndMs <= nowMs)) {
        this.#leaveToSweep(batch);
        break;
      }
      try {
        await this.#context.eventLog.append(batch);
        this.#done(batch);
      } catch (error) {
        this.#context.log.warn(
          { err: error, lane: this.#lane },
          'the log took no records; the sweep will bring them',
        );
        this.#leaveToSweep(batch);
      }
    }
    this.#publishing = undefined;
  }

  #done(rows: readonly SweptRow[]): void {
    for (const row of rows) {
      outboxWaited(this.#context.tracing, row, row.createdAtMs);
      this.#published.push(row.id);
    }
    this.#cleanSoon();
  }

  /** From now on this process writes for the sweep, and gives it all that has not been published. */
  #leaveToSweep(inFlight: readonly QueuedRow[]): void {
    this.#mode = 'swept';
    const left = [...inFlight, ...this.#queue].map((row) => row.id);
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#release(left);
  }

  #release(ids: readonly string[]): void {
    // The queue and what is being written now; over the bound the lease runs out by itself.
    const room = 2 * limits.outboxQueueRecords - this.#toRelease.length;
    for (const id of ids.slice(0, Math.max(0, room))) this.#toRelease.push(id);
    this.#cleanSoon();
  }

  #cleanSoon(): void {
    if (this.#closed) return;
    if (this.#published.length >= limits.outboxBatchRecords) {
      this.#cleaning = this.#cleaning.then(() => this.#clean());
      return;
    }
    this.#cleanTimer ??= this.#context.clock.after(limits.outboxDeleteDelayMs, () => {
      this.#cleanTimer = undefined;
      this.#cleaning = this.#cleaning.then(() => this.#clean());
    });
  }

  /** Deletes what is on the log and gives leases up. What fails is tried again with the next call. */
  async #clean(): Promise<void> {
    const { db, owner, log } = this.#context;
    const [published, released] = [this.#published, this.#toRelease];
    this.#published = [];
    this.#toRelease = [];
    try {
      if (published.length > 0) await deleteOutbox(db, published);
      published.length = 0;
      if (released.length > 0) await releaseOutbox(db, released, owner);
      released.length = 0;
    } catch (error) {
      log.debug({ err: error, lane: this.#lane }, 'the outbox was not cleaned; trying again');
      // A row that stays is published again after its lease: so the bound may drop the rest.
      this.#published = [...published.slice(0, limits.outboxQueueRecords), ...this.#published];
      this.#toRelease = [...released, ...this.#toRelease];
    }
  }

  /** A round of the sweep, unless one runs or the log is away. `expired`: whether there is anything for it. */
  sweep(expired: boolean): void {
    if (this.#published.length > 0 || this.#toRelease.length > 0) this.#cleanSoon();
    if (this.#sweeping || this.#stop.signal.aborted) return;
    if (!expired && this.#mode === 'direct') return;
    if (this.#context.clock.monotonic() < this.#notBeforeMs) return;
    this.#sweeping = this.#sweep()
      .catch((error: unknown) => {
        this.#context.log.warn({ err: error, lane: this.#lane }, 'the outbox was not swept; trying again');
      })
      .finally(() => {
        this.#sweeping = undefined;
      });
  }

  async #sweep(): Promise<void> {
    const { db, owner, clock, log } = this.#context;
    while (!this.#stop.signal.aborted) {
      const wanted = this.#away > 0 ? limits.outboxProbeRecords : limits.outboxBatchRecords;
      // What is in flight, or not given up yet, is older than what would be found now.
      await this.#publishing;
      if (this.#toRelease.length > 0) this.#cleaning = this.#cleaning.then(() => this.#clean());
      await this.#cleaning;
      if (this.#toRelease.length > 0) {
        await clock.sleep(limits.outboxDeleteDelayMs, this.#stop.signal);
        continue;
      }
      const settled = this.#mode === 'turning' && !this.#isUnseen();
      const { busy, rows } = await claimOutbox(db, this.#lane, owner, wanted);
      if (busy) return;
      // Given up meanwhile, so not found, and older than some that were.
      if (rows.length > 0 && this.#toRelease.length > 0) {
        this.#release(rows.map((row) => row.id));
        continue;
      }
      if (rows.length > 0) {
        try {
          await this.#appendSwept(rows);
        } catch (error) {
          return await this.#logIsAway(rows, error);
        }
        for (const row of rows) outboxWaited(this.#context.tracing, row, row.createdAtMs);
        await deleteOutbox(
          db,
          rows.map((row) => row.id),
        );
        if (this.#away > 0) log.info({ lane: this.#lane }, 'the log takes records again');
        this.#away = 0;
      }
      if (rows.length > 0) continue;
      if (settled && this.#toRelease.length === 0) this.#turnDirect();
      if (this.#mode === 'direct') return;
      if (this.#mode === 'swept') this.#mode = 'turning';
      await clock.sleep(limits.outboxDeleteDelayMs, this.#stop.signal);
    }
  }

  /** Whether a transaction that wrote for the sweep may still commit. One that never said so has been rolled back by then. */
  #isUnseen(): boolean {
    const endedMs = this.#context.clock.monotonic() - limits.outboxWriteMs;
    for (const write of this.#unseen) if (write.sinceMs < endedMs) this.#unseen.delete(write);
    return this.#unseen.size > 0;
  }

  #turnDirect(): void {
    this.#mode = 'direct';
    if (this.#queue.length > 0) this.#publishing ??= this.#publish();
  }

  async #logIsAway(rows: readonly SweptRow[], error: unknown): Promise<void> {
    const { db, owner, clock, log } = this.#context;
    const [firstMs, lastMs] = limits.outboxAwayMs;
    const pauseMs = Math.min(firstMs * 2 ** this.#away, lastMs);
    if (this.#away === 0) log.warn({ err: error, lane: this.#lane }, 'the log is away; the outbox grows');
    this.#away++;
    this.#leaveToSweep([]);
    this.#notBeforeMs = clock.monotonic() + pauseMs;
    await releaseOutbox(
      db,
      rows.map((row) => row.id),
      owner,
    );
  }

  /** When the log refuses something in the batch for good, that becomes a dead letter and the rest goes through. */
  async #appendSwept(rows: readonly SweptRow[]): Promise<void> {
    const { db, eventLog, log } = this.#context;
    try {
      return await eventLog.append(rows);
    } catch (error) {
      if (isNotNow(error)) throw error;
      log.error({ err: error, lane: this.#lane }, 'the log refuses a batch; publishing one by one');
    }
    for (const row of rows) {
      try {
        await eventLog.append([row]);
      } catch (error) {
        if (isNotNow(error)) throw error;
        await insertDeadLetter(db, row, error);
      }
    }
  }

  /** Publishes what is queued if the log takes it, and gives up the rest. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#publishing;
    await this.#sweeping;
    if (this.#queue.length > 0) this.#leaveToSweep([]);
    this.#closed = true;
    this.#cleanTimer?.[Symbol.dispose]();
    this.#cleaning = this.#cleaning.then(() => this.#clean());
    await this.#cleaning;
  }
}
