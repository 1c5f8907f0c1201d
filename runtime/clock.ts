// The only door through which time comes in, so that a test can hold it in its hand.

export interface Clock {
  /** Wall clock, milliseconds since the epoch. */
  now(): number;
  /** Never goes back; milliseconds from an arbitrary start. For durations. */
  monotonic(): number;
  /** Runs `task` once after `delayMs`. Disposing the timer twice, or after it ran, is harmless. */
  after(delayMs: number, task: () => void): Timer;
  /** Runs `task` every `periodMs` until disposed. */
  every(periodMs: number, task: () => void): Timer;
  /** Resolves after `delayMs`, or at once when `signal` aborts: the caller looks at the signal. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export interface Timer extends Disposable {
  /** A timer that is let go does not keep the process alive. */
  unref(): this;
}

class SystemTimer implements Timer {
  readonly #timeout: NodeJS.Timeout;
  constructor(timeout: NodeJS.Timeout) {
    this.#timeout = timeout;
  }
  unref(): this {
    this.#timeout.unref?.();
    return this;
  }
  [Symbol.dispose](): void {
    clearTimeout(this.#timeout);
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, task) => new SystemTimer(setTimeout(task, delayMs)),
  every: (periodMs, task) => new SystemTimer(setInterval(task, periodMs)),
  sleep(delayMs, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timeout);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timeout = setTimeout(done, delayMs);
      signal?.addEventListener('abort', done, { once: true });
    });
  },
};
