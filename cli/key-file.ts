// A file that holds a key for this machine alone: made once, whole or not at all, and read by its owner only.
import { randomUUID } from 'node:crypto';
import { chmod, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CarillonError } from '../runtime/errors.ts';

export interface KeyFile {
  path: string;
  isKey(text: string): boolean;
  make(): string;
}

/** What the file holds; undefined when there is none, or none that is a key. */
export async function readKey({ path, isKey }: Omit<KeyFile, 'make'>): Promise<string | undefined> {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    return isKey(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Another process that was first wins, and its key is returned. */
async function write(file: KeyFile): Promise<string> {
  const { path } = file;
  const written = `${path}.${randomUUID()}`;
  const key = file.make();
  try {
    await writeFile(written, `${key}\n`, { mode: 0o600, flag: 'wx' });
    await link(written, path);
    return key;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    const first = await readKey(file);
    if (first) return first;
    // Something else lies there: it is replaced, and whoever is last here wins.
    await rm(path, { force: true });
    return write(file);
  } finally {
    await rm(written, { force: true });
  }
}

/** The key in the file; one is made if there is none. Throws CONFIG_INVALID when it cannot be written. */
export async function keepKeyFile(file: KeyFile): Promise<string> {
  try {
    await mkdir(dirname(file.path), { recursive: true });
    const key = (await readKey(file)) ?? (await write(file));
    await chmod(file.path, 0o600);
    return key;
  } catch (cause) {
    if (cause instanceof CarillonError || !(cause instanceof Error && 'code' in cause)) throw cause;
    throw new CarillonError('CONFIG_INVALID', `${file.path} cannot be written (${cause.code}).`, { cause });
  }
}
