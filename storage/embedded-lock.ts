// One process at a time holds a data directory, and whoever comes second is told who it is.
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { identify, isAlive, type ProcessIdentity } from '../runtime/process-identity.ts';

const LOCK_FILE = 'holder.json';

async function holderOf(
  path: string,
): Promise<{ text: string; identity: ProcessIdentity | undefined } | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const { pid, started }: { pid?: unknown; started?: unknown } = JSON.parse(text);
    if (typeof pid === 'number' && typeof started === 'string') return { text, identity: { pid, started } };
  } catch {
    // The file appears whole by a link, so that text which is no JSON was never written by us: nobody's lock.
  }
  return { text, identity: undefined };
}

/** Links the draft to `path`; false when something is there already. */
async function place(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Puts our lock in the place of a stale one. Two that saw the same stale lock must not both do so, the second of them over
 * the lock of the first: whoever replaces it holds a second file meanwhile and looks once more.
 */
async function replaceStale(path: string, stale: string, draft: string): Promise<boolean> {
  const turn = `${path}.takeover`;
  if (!(await place(draft, turn))) {
    const other = await holderOf(turn);
    // Killed in the two milliseconds that this takes.
    if (other && !(other.identity && (await isAlive(other.identity)))) await rm(turn, { force: true });
    return false;
  }
  try {
    if ((await holderOf(path))?.text !== stale) return false;
    const second = `${draft}.second`;
    await link(draft, second);
    await rename(second, path);
    return true;
  } finally {
    await rm(turn, { force: true });
  }
}

/**
 * Takes the lock of the directory; the lock of a process that is gone is taken over. Disposing gives it back.
 * Throws EMBEDDED_POSTGRES_HELD with the holder's pid.
 */
export async function holdDirectory(directory: string): Promise<AsyncDisposable> {
  const path = join(directory, LOCK_FILE);
  const ours = JSON.stringify({ ...(await identify(process.pid)), token: systemIds.uuid() });
  const draft = `${path}.${systemIds.uuid()}`;
  await writeFile(draft, ours, { mode: 0o644 });
  try {
    const began = systemClock.monotonic();
    // A round takes the lock, meets a live holder, or waits for somebody's takeover of a stale one.
    for (let round = 0; round < limits.embeddedLockRoundsCount; round++) {
      const holder = await holderOf(path);
      if (holder?.identity && (await isAlive(holder.identity))) {
        // One that was just killed still shows for a moment.
        if (systemClock.monotonic() - began < limits.embeddedHolderGraceMs) {
          await systemClock.sleep(limits.embeddedHeldPollMs);
          continue;
        }
        throw new CarillonError(
          'EMBEDDED_POSTGRES_HELD',
          `The data directory ${directory} is held by process ${holder.identity.pid}: stop that one first, or choose another data directory.`,
        );
      }
      if (holder ? await replaceStale(path, holder.text, draft) : await place(draft, path)) {
        return {
          async [Symbol.asyncDispose]() {
            if ((await holderOf(path))?.text === ours) await rm(path, { force: true });
          },
        };
      }
      await systemClock.sleep(limits.embeddedHeldPollMs);
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw new CarillonError(
    'EMBEDDED_POSTGRES_HELD',
    `The data directory ${directory} changes hands all the time.`,
  );
}
