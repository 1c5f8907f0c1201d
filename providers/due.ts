// Wakes up when a row of a channel and lane is due: retries, what the log lost, interrupted calls, waits that are over.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';

export interface DueOptions {
  clock: Clock;
  log: Log;
  /** Milliseconds until the next row is due (0: now), undefined when none waits. */
  earliestMs: () => Promise<number | undefined>;
  /** Does what is due. Returns whether there may be more. */
  work: () => Promise<boolean>;
}

/** Sleeps to the earliest due time, at most `limits.providerDueMs`, and works. Runs until disposed. */
export class DueLoop implements AsyncDisposable {
  readonly #options: DueOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #nap = new AbortController();
  #poked = false;

  constructor(options: DueOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Something is due now, or there is room again: look at once. */
  poke(): void {
    this.#poked = true;
    this.#nap.abort();
  }

  /** A row is due in `ms`: look again if that is sooner than the loop would. */
  expect(ms: number): void {
    if (ms < limits.providerDueMs) this.poke();
  }

  async #run(): Promise<void> {
    const { clock, log, earliestMs, work } = this.#options;
    while (!this.#stop.signal.aborted) {
      this.#poked = false;
      let sleepMs: number = limits.providerDueMs;
      try {
        const dueMs = await earliestMs();
        if (dueMs !== undefined && dueMs <= 0) sleepMs = (await work()) ? 0 : limits.providerDueBusyMs;
        else if (dueMs !== undefined) sleepMs = Math.min(dueMs, limits.providerDueMs);
      } catch (error) {
        log.warn({ err: error }, 'due rows cannot be read; they are looked for again in a moment');
      }
      if (sleepMs > 0) await this.#sleep(clock, sleepMs);
    }
  }

  async #sleep(clock: Clock, ms: number): Promise<void> {
    this.#nap = new AbortController();
    if (this.#poked) return;
    await clock.sleep(ms, AbortSignal.any([this.#nap.signal, this.#stop.signal]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
