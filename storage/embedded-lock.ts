// One process at a time holds a data directory, and whoever comes second is told who it is.
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CarillonError } from '../runtime/errors.ts';
import { systemIds } from '../runtime/ids.ts';
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

/** Moves a lock away if it is still the one that was judged stale; a live one that came in between is put back. */
async function removeStale(path: string, text: string): Promise<void> {
  const aside = `${path}.${systemIds.uuid()}`;
  const moved = await rename(path, aside).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  if ((await readFile(aside, 'utf8')) !== text) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
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
    // Each round either takes the lock, meets a live holder, or removes one stale lock; five stale ones in a row are no accident.
    for (let round = 0; round < 5; round++) {
      const taken = await link(draft, path).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST') return false;
          throw error;
        },
      );
      if (taken) {
        return {
          async [Symbol.asyncDispose]() {
            if ((await holderOf(path))?.text === ours) await rm(path, { force: true });
          },
        };
      }
      const holder = await holderOf(path);
      if (!holder) continue;
      if (holder.identity && (await isAlive(holder.identity))) {
        throw new CarillonError(
          'EMBEDDED_POSTGRES_HELD',
          `The data directory ${directory} is held by process ${holder.identity.pid}: stop that one first, or choose another data directory.`,
        );
      }
      await removeStale(path, holder.text);
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw new CarillonError(
    'EMBEDDED_POSTGRES_HELD',
    `The data directory ${directory} changes hands all the time.`,
  );
}
