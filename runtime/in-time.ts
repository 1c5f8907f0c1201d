// Bounds a wait: what has not answered in time counts as failed, whatever becomes of it.
import type { Clock } from './clock.ts';

/** Resolves with `work`, or rejects with `late()` after `ms`. `work` goes on; its later failure is swallowed. */
export async function inTime<T>(clock: Clock, ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  const done = new AbortController();
  const bound = clock.sleep(ms, done.signal).then((): never => {
    throw late();
  });
  bound.catch(() => {});
  try {
    return await Promise.race([work, bound]);
  } finally {
    done.abort();
  }
}
