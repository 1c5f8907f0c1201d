// What this process can open of the providers that tenants configured: all kinds, and the keys of their secrets.
import { Catalog } from '../providers/catalog.ts';
import { providerKinds, sandboxKinds } from '../providers/kinds.ts';
import type { Database } from '../storage/database.ts';
import { TenantKeys } from '../storage/tenant-keys.ts';
import type { Parts } from './parts.ts';

export interface OpenedCatalog {
  readonly catalog: Catalog;
  readonly keys: TenantKeys;
}

/** Nothing of it needs to be closed. */
export function openCatalog(
  { masterKeys, clock, ids, log }: Pick<Parts, 'masterKeys' | 'clock' | 'ids' | 'log'>,
  db: Database,
): OpenedCatalog {
  const keys = new TenantKeys(db, masterKeys);
  const kinds = [...providerKinds, ...sandboxKinds(db)];
  return { keys, catalog: new Catalog({ kinds, keys, clock, ids, log }) };
}
