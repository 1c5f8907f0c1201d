// A catalog of all kinds for tests, with a master key that is nobody's secret.
import { systemClock } from '../runtime/clock.ts';
import { type MasterKeys, masterKeysOf } from '../runtime/envelope.ts';
import { systemIds } from '../runtime/ids.ts';
import { type Log, silentLog } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';
import { TenantKeys } from '../storage/tenant-keys.ts';
import { Catalog } from './catalog.ts';
import { providerKinds, sandboxKinds } from './kinds.ts';

export const TEST_MASTER_KEY = Buffer.alloc(32, 7);

/** `masterKeys: null`: there is none. */
export function testCatalog(
  db: Database,
  options: { masterKeys?: MasterKeys | null; log?: Log } = {},
): { catalog: Catalog; keys: TenantKeys } {
  const { masterKeys = masterKeysOf([TEST_MASTER_KEY]), log = silentLog } = options;
  const keys = new TenantKeys(db, masterKeys ?? undefined);
  const kinds = [...providerKinds, ...sandboxKinds(db)];
  return { keys, catalog: new Catalog({ kinds, keys, clock: systemClock, ids: systemIds, log }) };
}
