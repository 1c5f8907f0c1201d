// The data keys of tenants: made when they are first needed, kept sealed under a master key, moved to another one without a pause.

import { type MasterKeys, makeKey, type SealedFor, seal, unseal } from '../runtime/envelope.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { Lru } from '../runtime/lru.ts';
import type { Queryable } from './database.ts';

/** A tenant's key, open. */
export interface TenantKey {
  seal(text: string, sealedFor: SealedFor): Buffer;
  /** Throws SECRETS_UNREADABLE. */
  open(sealed: Uint8Array, sealedFor: SealedFor): string;
}

const purposeOf = (tenant: string): SealedFor => ['tenant key', tenant];

function tenantKey(key: Uint8Array): TenantKey {
  return {
    seal: (text, sealedFor) => seal(key, Buffer.from(text, 'utf8'), sealedFor),
    open: (sealed, sealedFor) => unseal(key, sealed, sealedFor).toString('utf8'),
  };
}

interface KeyRow {
  tenant: string;
  master_key: string;
  sealed: Buffer;
}

export class TenantKeys {
  readonly #db: Queryable;
  readonly #masterKeys: MasterKeys | undefined;
  readonly #open = new Lru<TenantKey>(limits.tenantKeysOpenCount);

  /** `masterKeys` undefined: there are none, and every call is refused. */
  constructor(db: Queryable, masterKeys: MasterKeys | undefined) {
    this.#db = db;
    this.#masterKeys = masterKeys;
  }

  /** Whether there is a master key. */
  get available(): boolean {
    return this.#masterKeys !== undefined;
  }

  get #master(): MasterKeys {
    if (!this.#masterKeys) throw new CarillonError('MASTER_KEY_MISSING');
    return this.#masterKeys;
  }

  /** The tenant's key; made if there is none. Rejects with MASTER_KEY_MISSING, SECRETS_UNREADABLE, STORE_UNAVAILABLE. */
  async of(tenant: string): Promise<TenantKey> {
    const known = this.#open.get(tenant);
    if (known) return known;
    const row = (await this.#read(tenant)) ?? (await this.#make(tenant));
    const key = tenantKey(
      await this.#master.unwrap({ masterKey: row.master_key, sealed: row.sealed }, purposeOf(tenant)),
    );
    this.#open.set(tenant, key);
    return key;
  }

  async #read(tenant: string): Promise<KeyRow | undefined> {
    const { rows } = await this.#db.query<KeyRow>({
      name: 'tenant-keys-get',
      text: 'select tenant, master_key, sealed from tenant_keys where tenant = $1',
      values: [tenant],
    });
    return rows[0];
  }

  /** Another process may make one at the same time: whichever is stored first is the tenant's. */
  async #make(tenant: string): Promise<KeyRow> {
    const { masterKey, sealed } = await this.#master.wrap(makeKey(), purposeOf(tenant));
    await this.#db.query({
      name: 'tenant-keys-put',
      text: `insert into tenant_keys (tenant, master_key, sealed) values ($1, $2, $3) on conflict (tenant) do nothing`,
      values: [tenant, masterKey, Buffer.from(sealed)],
    });
    const row = await this.#read(tenant);
    if (!row) throw new Error('a tenant key was not stored');
    return row;
  }

  /**
   * Seals every data key under the present master key; how many were under another one. The data keys stay as they are, so
   * nobody notices who has both master keys. Rejects with SECRETS_UNREADABLE when one cannot be opened; run it again then.
   */
  async rotate(): Promise<number> {
    const master = this.#master;
    let rotated = 0;
    for (let after = ''; ; ) {
      const { rows } = await this.#db.query<KeyRow>({
        name: 'tenant-keys-old',
        text: `select tenant, master_key, sealed from tenant_keys
               where master_key <> $1 and tenant > $2 order by tenant limit $3`,
        values: [master.current, after, limits.tenantKeysPageRows],
      });
      if (rows.length === 0) return rotated;
      for (const { tenant, master_key: masterKey, sealed } of rows) {
        const key = await master.unwrap({ masterKey, sealed }, purposeOf(tenant));
        const wrapped = await master.wrap(key, purposeOf(tenant));
        const { rowCount } = await this.#db.query({
          name: 'tenant-keys-rotate',
          text: 'update tenant_keys set master_key = $2, sealed = $3 where tenant = $1 and master_key = $4',
          values: [tenant, wrapped.masterKey, Buffer.from(wrapped.sealed), masterKey],
        });
        rotated += rowCount ?? 0;
        after = tenant;
      }
    }
  }
}
