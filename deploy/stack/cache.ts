// Where fetched programs are kept: each appears whole or not at all, and is fetched once however many ask at once.
import { access, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

/** `CARILLON_CACHE_DIR`, else `~/.cache/carillon`. */
export function cacheDirectory(): string {
  return resolve(process.env.CARILLON_CACHE_DIR ?? join(homedir(), '.cache', 'carillon'));
}

/** The full path of a program on PATH, or undefined. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(directory, name);
    if (
      directory &&
      (await access(path, constants.X_OK).then(
        () => true,
        () => false,
      ))
    )
      return path;
  }
  return undefined;
}

/** Calls `fill` on a directory of its own, and puts that at `cache/name` when it is done. Two at once: the later one wins. */
export async function intoCache(name: string, fill: (directory: string) => Promise<void>): Promise<string> {
  const cache = cacheDirectory();
  await mkdir(cache, { recursive: true });
  const target = join(cache, name);
  const draft = await mkdtemp(join(cache, '.fetching-'));
  try {
    await fill(draft);
    await rename(target, `${draft}.old`).catch(() => undefined);
    await rename(draft, target);
    return target;
  } finally {
    await rm(draft, { recursive: true, force: true });
    await rm(`${draft}.old`, { recursive: true, force: true });
  }
}
