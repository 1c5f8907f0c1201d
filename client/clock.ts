// The door through which time comes into the client, so that a test can hold it in its hand.

export interface Clock {
  /** Never goes back; milliseconds from an arbitrary start. */
  monotonic(): number;
  /** Runs `task` once after `delayMs`. The answer takes it back, at any time and any number of times. */
  after(delayMs: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  monotonic: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs`, or at once when `signal` aborts: the caller looks at the signal. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(delayMs, done);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** In [0, 1): the other door, of chance. */
export const systemRandom = (): number => Math.random();
