// A clock for tests: it stands still until `advance` is called, then runs every task that became due, in order.
import type { Clock, Timer } from './clock.ts';

interface Task {
  dueMs: number;
  order: number;
  periodMs: number | undefined;
  run: () => void;
}

export class ManualClock implements Clock {
  #nowMs: number;
  #order = 0;
  readonly #tasks = new Set<Task>();

  constructor(startMs = 1_800_000_000_000) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(delayMs: number, task: () => void): Timer {
    return this.#add(delayMs, undefined, task);
  }

  every(periodMs: number, task: () => void): Timer {
    return this.#add(periodMs, periodMs, task);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const timer = this.after(delayMs, resolve);
      signal?.addEventListener(
        'abort',
        () => {
          timer[Symbol.dispose]();
          resolve();
        },
        { once: true },
      );
    });
  }

  /** Moves time by `ms`; tasks run at their own due time, earliest first. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (let next = this.#nextBefore(endMs); next; next = this.#nextBefore(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      if (next.periodMs === undefined) this.#tasks.delete(next);
      else next.dueMs += next.periodMs;
      next.run();
    }
    this.#nowMs = endMs;
  }

  #nextBefore(endMs: number): Task | undefined {
    let first: Task | undefined;
    for (const task of this.#tasks) {
      if (task.dueMs > endMs) continue;
      if (!first || task.dueMs < first.dueMs || (task.dueMs === first.dueMs && task.order < first.order))
        first = task;
    }
    return first;
  }

  #add(delayMs: number, periodMs: number | undefined, run: () => void): Timer {
    const task: Task = { dueMs: this.#nowMs + delayMs, order: this.#order++, periodMs, run };
    this.#tasks.add(task);
    const timer: Timer = {
      unref: () => timer,
      [Symbol.dispose]: () => {
        this.#tasks.delete(task);
      },
    };
    return timer;
  }
}
