// Hands the app one item after the other, in order, and says when each was handled; holds a bounded number.
import type { Deliver, Item, Update } from '../gen/carillon/v1/edge_pb.ts';
import { limits } from './limits.ts';
import type { Position } from './machine.states.ts';

/** An item as it came, with its position and the `traceparent` of its frame. */
export type ReceivedItem = Deliver & { item: Item };

/** May answer a promise: the item counts as handled when it resolves, and not at all when it rejects. */
export type ItemListener = (item: ReceivedItem) => unknown;

export type Entry =
  | { readonly kind: 'item'; readonly item: ReceivedItem; readonly previous: number; readonly line: number }
  | { readonly kind: 'update'; readonly update: Update; readonly line: number }
  | { readonly kind: 'position'; readonly position: Position; readonly line: number };

export interface FeedSink {
  onUpdate(update: Update): void;
  /** All before it was told already. `ok`: the app took it without an error. */
  onHandled(entry: Entry, ok: boolean): void;
  onError(error: unknown): void;
}

/** One `for await` of the app. Asking for the next item, or leaving the loop, says that the last one was handled. */
class Reader implements AsyncIterableIterator<ReceivedItem> {
  readonly #leave: (reader: Reader) => void;
  #offered: { item: ReceivedItem; done: () => void } | undefined;
  #taken: (() => void) | undefined;
  readonly #asking: ((result: IteratorResult<ReceivedItem>) => void)[] = [];
  #over = false;

  constructor(leave: (reader: Reader) => void) {
    this.#leave = leave;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  offer(item: ReceivedItem, done: () => void): void {
    this.#offered = { item, done };
    this.#give();
  }

  next(): Promise<IteratorResult<ReceivedItem>> {
    this.#settle();
    if (this.#over) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#asking.push(resolve);
      this.#give();
    });
  }

  return(): Promise<IteratorResult<ReceivedItem>> {
    this.#settle();
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** What was offered and not taken is not this reader's any more. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#leave(this);
    this.#offered?.done();
    this.#offered = undefined;
    for (const resolve of this.#asking.splice(0)) resolve({ done: true, value: undefined });
  }

  #settle(): void {
    const done = this.#taken;
    this.#taken = undefined;
    done?.();
  }

  #give(): void {
    if (!this.#offered || this.#taken) return;
    const resolve = this.#asking.shift();
    if (!resolve) return;
    const { item, done } = this.#offered;
    this.#offered = undefined;
    this.#taken = done;
    resolve({ done: false, value: item });
  }
}

export class Feed {
  readonly #sink: FeedSink;
  readonly #queue: Entry[] = [];
  readonly #listeners = new Set<ItemListener>();
  readonly #readers = new Set<Reader>();
  readonly #room: (() => void)[] = [];
  /** The first entry is in the app's hands. */
  #busy = false;
  #over = false;

  constructor(sink: FeedSink) {
    this.#sink = sink;
  }

  /** A promise when enough waits: it resolves when half of it was handled. */
  push(entry: Entry): Promise<void> | undefined {
    if (this.#over) return undefined;
    const last = this.#queue.at(-1);
    // Only the newest position counts, and the one in hand stays.
    if (entry.kind === 'position' && last?.kind === 'position' && this.#queue.length > 1) this.#queue.pop();
    this.#queue.push(entry);
    this.#run();
    if (this.#queue.length < limits.feedCount) return undefined;
    return new Promise((resolve) => this.#room.push(resolve));
  }

  listen(listener: ItemListener): () => void {
    this.#listeners.add(listener);
    this.#run();
    return () => this.#listeners.delete(listener);
  }

  reader(): AsyncIterableIterator<ReceivedItem> {
    const reader = new Reader((left) => this.#readers.delete(left));
    if (this.#over) reader.end();
    else this.#readers.add(reader);
    this.#run();
    return reader;
  }

  /** Nothing more is handed out; readers end. What waits was not handled. */
  close(): void {
    this.#over = true;
    this.#queue.length = 0;
    for (const reader of [...this.#readers]) reader.end();
    this.#makeRoom();
  }

  #run(): void {
    while (!this.#busy && !this.#over) {
      const entry = this.#queue[0];
      if (!entry) return;
      if (entry.kind === 'item') {
        // An item that nobody would take waits for somebody.
        if (this.#listeners.size + this.#readers.size === 0) return;
        this.#hand(entry, entry.item);
      } else {
        if (entry.kind === 'update') this.#sink.onUpdate(entry.update);
        this.#settled(entry, true);
      }
    }
  }

  #hand(entry: Entry, item: ReceivedItem): void {
    this.#busy = true;
    let ok = true;
    let left = 1 + this.#readers.size;
    const done = () => {
      if (--left > 0) return;
      this.#busy = false;
      if (!this.#over) this.#settled(entry, ok);
      this.#run();
    };
    const failed = (error: unknown) => {
      ok = false;
      this.#sink.onError(error);
    };
    for (const reader of [...this.#readers]) reader.offer(item, once(done));
    for (const listener of [...this.#listeners]) {
      try {
        const answer = listener(item);
        if (!isThenable(answer)) continue;
        left++;
        answer.then(undefined, failed).then(done);
      } catch (error) {
        failed(error);
      }
    }
    done();
  }

  #settled(entry: Entry, ok: boolean): void {
    this.#queue.shift();
    this.#sink.onHandled(entry, ok);
    if (this.#queue.length <= limits.feedCount / 2) this.#makeRoom();
  }

  #makeRoom(): void {
    for (const resolve of this.#room.splice(0)) resolve();
  }
}

function once(task: () => void): () => void {
  let ran = false;
  return () => {
    if (ran) return;
    ran = true;
    task();
  };
}

const isThenable = (value: unknown): value is Promise<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
