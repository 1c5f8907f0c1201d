// Single requests wait for one loop turn and go to disk together; what waits is bounded, critical goes first.
import type { Handoff } from '../eventlog/event-log.ts';
import { lanes } from '../eventlog/topics.ts';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { type Clock, systemClock, type Timer } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { type Accepted, acceptBatch, type Entry } from './accept.ts';
import type { Database } from './database.ts';

interface Waiting {
  entry: Entry;
  /** By the monotonic clock. */
  giveUpMs: number;
  resolve(accepted: Accepted): void;
  reject(error: unknown): void;
}

/** The part of the queue's room that a lane may fill: the rest is kept for those before it. */
const share: Readonly<Record<number, number>> = {
  [Lane.UNSPECIFIED]: 0.8,
  [Lane.CRITICAL]: 1,
  [Lane.NORMAL]: 0.8,
  [Lane.BULK]: 0.5,
};

export interface AcceptQueueOptions {
  database: Database;
  handoff: Handoff;
  clock?: Clock;
  /** Commits on their way at once; `limits.acceptCommitsInFlight` when absent. */
  commitsInFlight?: number;
}

export class AcceptQueue implements AsyncDisposable {
  readonly #options: AcceptQueueOptions;
  readonly #clock: Clock;
  readonly #commitsInFlight: number;
  readonly #waiting = new Map<Lane, Waiting[]>(lanes.map((lane) => [lane, []]));
  #count = 0;
  #bytes = 0;
  #inFlight = 0;
  #scheduled = false;
  #closed = false;
  #idle: (() => void) | undefined;
  readonly #sweep: Timer;

  constructor(options: AcceptQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#commitsInFlight = options.commitsInFlight ?? limits.acceptCommitsInFlight;
    this.#sweep = this.#clock.every(limits.acceptSweepMs, () => this.#giveUp()).unref();
  }

  /** Entries that wait or are on their way to disk. */
  get waiting(): number {
    return this.#count;
  }

  /**
   * Resolves after the commit that stored the entry. Rejects with OVERLOADED when the queue is full, DEADLINE_EXCEEDED
   * when `timeoutMs` passed before its turn came (then nothing was stored), and as `acceptBatch`.
   */
  accept(entry: Entry, timeoutMs: number = limits.acceptWaitMs): Promise<Accepted> {
    if (this.#closed)
      return Promise.reject(new CarillonError('SHUTTING_DOWN', undefined, { retryAfterMs: 1_000 }));
    const room = share[entry.lane] ?? 0.5;
    const bytes = entry.payload.byteLength;
    if (this.#count >= limits.acceptQueueCount * room || this.#bytes + bytes > limits.acceptQueueBytes * room)
      return Promise.reject(
        new CarillonError('OVERLOADED', undefined, { retryAfterMs: limits.overloadedRetryMs }),
      );
    return new Promise((resolve, reject) => {
      this.#count++;
      this.#bytes += bytes;
      const giveUpMs = this.#clock.monotonic() + timeoutMs;
      this.#waiting.get(entry.lane)?.push({ entry, giveUpMs, resolve, reject });
      this.#schedule();
    });
  }

  /** Waits for what was accepted; more is refused. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#sweep[Symbol.dispose]();
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      const before = this.#idle;
      this.#idle = () => {
        before?.();
        resolve();
      };
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#commitsInFlight) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      while (this.#inFlight < this.#commitsInFlight) {
        const batch = this.#take();
        if (batch.length === 0) return;
        this.#inFlight++;
        void this.#commit(batch).finally(() => {
          this.#inFlight--;
          for (const { entry } of batch) this.#release(entry);
          this.#schedule();
        });
      }
    });
  }

  /** While the database hangs, nobody's turn comes: those whose time is up are told. */
  #giveUp(): void {
    const nowMs = this.#clock.monotonic();
    for (const [lane, queue] of this.#waiting) {
      const late = queue.filter(({ giveUpMs }) => giveUpMs <= nowMs);
      if (late.length === 0) continue;
      this.#waiting.set(
        lane,
        queue.filter(({ giveUpMs }) => giveUpMs > nowMs),
      );
      for (const { entry, reject } of late) {
        this.#release(entry);
        reject(new CarillonError('DEADLINE_EXCEEDED'));
      }
    }
  }

  #take(): Waiting[] {
    const batch: Waiting[] = [];
    let bytes = 0;
    const nowMs = this.#clock.monotonic();
    for (const queue of this.#waiting.values()) {
      let taken = 0;
      for (const waiting of queue) {
        if (batch.length >= limits.acceptBatchCount || bytes >= limits.acceptBatchBytes) break;
        taken++;
        if (waiting.giveUpMs <= nowMs) {
          this.#release(waiting.entry);
          waiting.reject(new CarillonError('DEADLINE_EXCEEDED'));
          continue;
        }
        batch.push(waiting);
        bytes += waiting.entry.payload.byteLength;
      }
      queue.splice(0, taken);
    }
    return batch;
  }

  #release({ payload }: Entry): void {
    this.#count--;
    this.#bytes -= payload.byteLength;
    if (this.#count === 0) this.#idle?.();
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const { database, handoff } = this.#options;
    try {
      const outcomes = await acceptBatch(
        database,
        handoff,
        batch.map(({ entry }) => entry),
      );
      for (const [index, { resolve, reject }] of batch.entries()) {
        const outcome = outcomes[index];
        if (outcome instanceof CarillonError || outcome === undefined) reject(outcome);
        else resolve(outcome);
      }
    } catch (error) {
      // One row that the database refuses must not take its neighbours with it; one that it cannot store now has nothing to do with them.
      if (batch.length === 1 || (error instanceof CarillonError && error.retry === 'backoff')) {
        for (const { reject } of batch) reject(unconfirmed(error));
        return;
      }
      const half = Math.ceil(batch.length / 2);
      await this.#commit(batch.slice(0, half));
      await this.#commit(batch.slice(half));
    }
  }
}

/** A commit whose answer was lost may have happened: only the key tells, so the sender is told to repeat with it. */
function unconfirmed(error: unknown): unknown {
  if (!(error instanceof CarillonError) || error.reason !== 'STORE_UNAVAILABLE') return error;
  return new CarillonError(
    'STORE_UNAVAILABLE',
    'The database did not confirm that it was stored; repeat it with the same idempotency key.',
    { cause: error, retryAfterMs: error.retryAfterMs ?? limits.overloadedRetryMs },
  );
}
