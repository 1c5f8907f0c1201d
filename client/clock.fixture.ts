// Time in a test's hand, through the client's own door.
import type { ManualClock } from '../runtime/clock.manual.ts';
import type { Clock } from './clock.ts';

export function clockOf(manual: ManualClock): Clock {
  return {
    monotonic: () => manual.monotonic(),
    after(delayMs, task) {
      const timer = manual.after(delayMs, task);
      return () => timer[Symbol.dispose]();
    },
  };
}

/** Resolves when everything that can happen without time or a signal has happened. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
