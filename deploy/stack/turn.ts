// One at a time works in a directory; whoever else wants to waits for its turn.
import { mkdir } from 'node:fs/promises';
import { systemClock } from '../../runtime/clock.ts';
import { CarillonError } from '../../runtime/errors.ts';
import { holdDirectory } from '../../storage/embedded-lock.ts';

/** Holds the directory until disposed. Throws STACK_UNAVAILABLE when another process or caller has held it for `withinMs`. */
export async function waitForTurn(directory: string, withinMs: number): Promise<AsyncDisposable> {
  // The server's account must be able to walk through, and there is nothing to read before its own directory.
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const began = systemClock.monotonic();
  for (;;) {
    try {
      return await holdDirectory(directory);
    } catch (error) {
      if (!(error instanceof CarillonError) || error.reason !== 'EMBEDDED_POSTGRES_HELD') throw error;
      if (systemClock.monotonic() - began > withinMs) {
        throw new CarillonError('STACK_UNAVAILABLE', `Another command is still at work: ${error.message}`, {
          cause: error,
        });
      }
    }
  }
}
