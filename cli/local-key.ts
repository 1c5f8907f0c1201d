// The API key by which commands on this machine reach a mesh on loopback: a file that only its owner reads, with all scopes.
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { apiKeyId, hashOf, makeApiKey } from '../runtime/api-key.ts';
import { DEFAULT_TENANT } from '../runtime/identity.ts';
import { putApiKey } from '../storage/api-keys.ts';
import type { Queryable } from '../storage/database.ts';
import { keepKeyFile, readKey } from './key-file.ts';

export const LOCAL_KEY = 'local.key';

const isKey = (text: string): boolean => apiKeyId(text) !== undefined;

/** What the file holds; undefined when there is none, or none that is a key. */
export const readKeyFile = (path: string): Promise<string | undefined> => readKey({ path, isKey });

/**
 * Makes sure that `path` holds a key and that the store knows it. A key that was revoked is replaced. Throws CONFIG_INVALID
 * when the file cannot be written.
 */
export async function ensureLocalKey(db: Queryable, path: string): Promise<void> {
  for (;;) {
    const key = await keepKeyFile({ path, isKey, make: () => makeApiKey().key });
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
}
