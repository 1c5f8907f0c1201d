// The API key by which commands on this machine reach a mesh on loopback: a file that only its owner reads, with all scopes.
import { randomUUID } from 'node:crypto';
import { chmod, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { apiKeyId, hashOf, makeApiKey } from '../runtime/api-key.ts';
import { CarillonError } from '../runtime/errors.ts';
import { DEFAULT_TENANT } from '../runtime/identity.ts';
import { putApiKey } from '../storage/api-keys.ts';
import type { Queryable } from '../storage/database.ts';

export const LOCAL_KEY = 'local.key';

/** What the file holds; undefined when there is none, or none that is a key. */
export async function readKeyFile(path: string): Promise<string | undefined> {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    return apiKeyId(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Writes the file whole or not at all; another process that was first wins, and its key is returned. */
async function writeKeyFile(path: string, key: string): Promise<string> {
  const written = `${path}.${randomUUID()}`;
  try {
    await writeFile(written, `${key}\n`, { mode: 0o600, flag: 'wx' });
    await link(written, path);
    return key;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    const first = await readKeyFile(path);
    if (first) return first;
    // Something else lies there: it is replaced, and whoever is last here wins.
    await rm(path, { force: true });
    return writeKeyFile(path, key);
  } finally {
    await rm(written, { force: true });
  }
}

/**
 * Makes sure that `path` holds a key and that the store knows it. A key that was revoked is replaced. Throws CONFIG_INVALID
 * when the file cannot be written.
 */
export async function ensureLocalKey(db: Queryable, path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    for (;;) {
      const key = (await readKeyFile(path)) ?? (await writeKeyFile(path, makeApiKey().key));
      await chmod(path, 0o600);
      const { revokedMs } = await putApiKey(db, {
        id: apiKeyId(key) ?? '',
        tenant: DEFAULT_TENANT,
        name: `local (${hostname()})`,
        scopes: ['*'],
        hash: hashOf(key),
      });
      if (revokedMs === undefined) return;
      await rm(path, { force: true });
    }
  } catch (cause) {
    if (cause instanceof CarillonError || !(cause instanceof Error && 'code' in cause)) throw cause;
    throw new CarillonError('CONFIG_INVALID', `${path} cannot be written (${cause.code}).`, { cause });
  }
}
