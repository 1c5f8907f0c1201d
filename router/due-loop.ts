// Runs a task whenever something is due: sleeps until then, never longer than a second, never in a busy circle.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';

export interface DueTask {
  /** Milliseconds until the next is due, 0 or less when it is; undefined when nothing waits. */
  earliestMs(): Promise<number | undefined>;
  /** Does what is due, in bounded portions; how much it did. */
  run(): Promise<number>;
}

export interface DueLoopOptions {
  name: string;
  clock: Clock;
  log: Log;
}

export class DueLoop implements AsyncDisposable {
  readonly #task: DueTask;
  readonly #options: DueLoopOptions;
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;
  #sleep: AbortController | undefined;
  /** When the sleep ends, by the clock's monotonic time. */
  #untilMs = 0;
  /** What was said during a look, which may have read the due times before. */
  #nudgedMs = Number.POSITIVE_INFINITY;

  constructor(task: DueTask, options: DueLoopOptions) {
    this.#task = task;
    this.#options = options;
    this.#done = this.#run();
  }

  /** Something is due in `inMs`: wakes the loop by then. */
  nudge(inMs: number): void {
    const { clock } = this.#options;
    const atMs = clock.monotonic() + inMs;
    if (!this.#sleep) this.#nudgedMs = Math.min(this.#nudgedMs, atMs);
    if (!this.#sleep || atMs >= this.#untilMs) return;
    if (inMs <= 0) this.#sleep.abort();
    else clock.after(inMs, () => this.#sleep?.abort()).unref();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#nudgedMs = Number.POSITIVE_INFINITY;
      const inMs = Math.min(await this.#turn(), this.#nudgedMs - this.#options.clock.monotonic());
      if (inMs > 0) await this.#rest(inMs);
    }
  }

  /** One look; how long to sleep after it. */
  async #turn(): Promise<number> {
    const { log, name } = this.#options;
    try {
      if ((await this.#task.run()) > 0) return 0;
      const earliestMs = await this.#task.earliestMs();
      if (earliestMs === undefined) return limits.dueSleepMs;
      // Due, and yet there was nothing to take: somebody else holds it.
      if (earliestMs <= 0) return limits.dueBusyMs;
      // Rounded up: a millisecond too early finds nothing.
      return Math.min(limits.dueSleepMs, Math.ceil(earliestMs) + 1);
    } catch (error) {
      log.warn({ err: error, loop: name }, 'a look at what is due failed; it is tried again');
      return limits.dueSleepMs;
    }
  }

  async #rest(ms: number): Promise<void> {
    const { clock } = this.#options;
    this.#sleep = new AbortController();
    this.#untilMs = clock.monotonic() + ms;
    if (this.#stopping.signal.aborted) return;
    await clock.sleep(ms, this.#sleep.signal);
    this.#sleep = undefined;
  }

  /** Waits for the look that is going on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#sleep?.abort();
    await this.#done;
  }
}
