// Hands the records of one partition to the handler, one batch at a time and in order, and says how far it has come.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import { deliver, type Handler } from './deliver.ts';
import type { ReceivedRecord } from './event-log.ts';

/** Bounds how many partitions of one subscription are handled at once; those that wait are served in turn. */
export class Slots {
  #free: number = limits.logConcurrentPartitionsCount;
  readonly #waiting: (() => void)[] = [];

  async take(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}

export interface WorkerOptions {
  topic: string;
  partition: number;
  /** The first offset to hand over. */
  position: bigint;
  handler: Handler;
  slots: Slots;
  clock: Clock;
  log: Log;
  /** Whether the partition is surely ours at this moment; nothing is begun when it is not. */
  holds(): boolean;
  /** Everything before `position` is finished. */
  onProgress(position: bigint): void;
  /** Half of the buffer has become free. */
  onRoom(): void;
  /** Nothing is begun before this: an earlier worker of the partition may still have a batch in flight. */
  after?: Promise<void> | undefined;
}

export class PartitionWorker {
  readonly topic: string;
  readonly partition: number;
  /** The next offset that is missing in the buffer. */
  next: bigint;
  readonly #options: WorkerOptions;
  readonly #stop = new AbortController();
  #buffer: ReceivedRecord[] = [];
  #running: Promise<void> | undefined;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.topic = options.topic;
    this.partition = options.partition;
    this.next = options.position;
  }

  get room(): number {
    return limits.logBufferRecords - this.#buffer.length;
  }

  get idle(): boolean {
    return this.#running === undefined;
  }

  /** Takes records that follow one another; those that were offered before are passed over. The caller minds `room`. */
  offer(records: readonly ReceivedRecord[]): void {
    if (this.#stop.signal.aborted) return;
    for (const record of records) {
      if (record.offset < this.next) continue;
      this.#buffer.push(record);
      this.next = record.offset + 1n;
    }
    this.kick();
  }

  /** Nothing exists before `position` (it was removed): go on from there. */
  skipTo(position: bigint): void {
    if (position <= this.next || !this.idle || this.#buffer.length > 0) return;
    this.next = position;
    this.#options.onProgress(position);
  }

  /** Begins if there is something to do. */
  kick(): void {
    if (this.#running || this.#buffer.length === 0 || this.#stop.signal.aborted) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#options.holds()) this.kick();
    });
  }

  /** Resolves when no batch is in flight. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** Aborts the batch in flight; resolves when its handler has returned. What it finished is still reported. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#buffer = [];
    await this.#running;
  }

  async #run(): Promise<void> {
    const { slots, handler, clock, log, topic, partition } = this.#options;
    const { signal } = this.#stop;
    await this.#options.after;
    await slots.take();
    try {
      if (signal.aborted || !this.#options.holds()) return;
      const records = this.#buffer.splice(0, limits.logBatchRecords);
      if (this.room >= limits.logBatchRecords) this.#options.onRoom();
      const progress = (count: number) => {
        const last = records[count - 1];
        if (last) this.#options.onProgress(last.offset + 1n);
      };
      await deliver({ batch: { topic, partition, records, signal }, handler, clock, log, progress });
    } finally {
      slots.give();
    }
  }
}
