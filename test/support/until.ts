// Waiting for a condition, with a bound: no test sleeps for a time that somebody guessed.
import { systemClock } from '../../runtime/clock.ts';

const POLL_MS = 25;

/** Asks until the answer is not undefined; fails after `withinMs`, saying what was waited for. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  withinMs = 30_000,
): Promise<T> {
  const startedMs = systemClock.monotonic();
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (systemClock.monotonic() - startedMs > withinMs)
      throw new Error(`after ${withinMs} ms still no ${what}`);
    await systemClock.sleep(POLL_MS);
  }
}
