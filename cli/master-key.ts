// The master keys that secrets of providers are sealed under: those that are set, or on loopback one in the data directory.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Config, isLoopback } from '../runtime/config.ts';
import { type MasterKeys, makeKey, masterKeysOf, parseKey } from '../runtime/envelope.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { Cli } from './cli.ts';
import { keepKeyFile, readKey } from './key-file.ts';

const MASTER_KEY = 'master.key';

const isKey = (text: string): boolean => parseKey(text) !== undefined;

/** The keys that are set, or that lie beside the embedded database; undefined: none. Throws CONFIG_INVALID. */
export async function openMasterKeys({
  cli,
  config,
  log,
}: {
  cli: Cli;
  config: Config;
  log: Log;
}): Promise<MasterKeys | undefined> {
  const old = (config.masterKeyOld ?? []).map((text) => parseKey(text)!);
  if (config.masterKey) return masterKeysOf([parseKey(config.masterKey)!, ...old]);
  // One database that several machines may use is not sealed with a key that one of them has made.
  if (config.postgresUrl || !isLoopback(config.host)) return undefined;
  const path = resolve(cli.directory, config.dataDir, MASTER_KEY);
  // Another one in its place would make all secrets unreadable for good.
  if (existsSync(path) && (await readKey({ path, isKey })) === undefined)
    throw new CarillonError(
      'CONFIG_INVALID',
      `${path} is not a master key. Restore it, or set CARILLON_MASTER_KEY; without it the secrets of providers cannot be read.`,
    );
  try {
    const key = await keepKeyFile({ path, isKey, make: () => makeKey().toString('base64') });
    return masterKeysOf([parseKey(key)!, ...old]);
  } catch (error) {
    if (!(error instanceof CarillonError) || error.reason !== 'CONFIG_INVALID') throw error;
    log.warn({ err: error }, 'no master key; secrets of providers cannot be kept');
    return undefined;
  }
}
