// The providers that tenants configured. Changes come one after the other, each with a number that workers look for.
import type { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Database, Queryable } from './database.ts';
import type { TenantKey } from './tenant-keys.ts';

/** Values by name, as the kind of the provider reads them. */
export type ProviderValues = Readonly<Record<string, unknown>>;

export interface ProviderKey {
  tenant: string;
  channel: Channel;
  /** Unique in the channel. */
  name: string;
}

/** Where it stands in its pool. */
export interface ProviderPlace {
  /** Lower ones are asked first. */
  position: number;
  /** Its part of the traffic among those of its position. */
  weight: number;
  /** Gets nothing new. */
  draining: boolean;
}

export interface ProviderConfig extends ProviderKey, ProviderPlace {
  kind: string;
  /** Without secrets. */
  settings: ProviderValues;
  secretNames: readonly string[];
  /** Sealed; see `openSecrets`. */
  secrets: Uint8Array | undefined;
  /** Changes with settings and secrets; never used twice. */
  version: number;
  updatedAtMs: number;
}

interface ConfigRow {
  tenant: string;
  channel: number;
  name: string;
  kind: string;
  position: number;
  weight: number;
  draining: boolean;
  settings: ProviderValues;
  secret_names: string[];
  secrets: Buffer | null;
  version: number;
  updated_at: Date;
}

const COLUMNS = `tenant, channel, name, kind, position, weight, draining, settings, secret_names, secrets,
  version::float8 as version, updated_at`;

function configOf(row: ConfigRow): ProviderConfig {
  const { channel, secret_names, secrets, updated_at, ...same } = row;
  return {
    ...same,
    channel: channel as Channel,
    secretNames: secret_names,
    secrets: secrets ?? undefined,
    updatedAtMs: updated_at.getTime(),
  };
}

const sealedFor = ({ tenant, channel, name }: ProviderKey, version: number) =>
  ['provider', tenant, channel, name, version] as const;

/** The sealed secrets of a provider: good for its key and for `version`, and for nothing else. */
export const sealSecrets = (
  key: TenantKey,
  of: ProviderKey,
  version: number,
  secrets: ProviderValues,
): Uint8Array => key.seal(JSON.stringify(secrets), sealedFor(of, version));

/** Throws SECRETS_UNREADABLE. */
export const openSecrets = (key: TenantKey, config: ProviderConfig): ProviderValues =>
  config.secrets ? JSON.parse(key.open(config.secrets, sealedFor(config, config.version))) : {};

/** The number of the last change. */
export async function providersVersion(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ version: number }>({
    name: 'providers-version',
    text: 'select providers_version::float8 as version from mesh',
  });
  return rows[0]?.version ?? 0;
}

/** All of all tenants, and the number of the last change among them. */
export async function readProviders(
  db: Database,
): Promise<{ version: number; configs: readonly ProviderConfig[] }> {
  return db.snapshot(async (tx) => {
    const version = await providersVersion(tx);
    const { rows } = await tx.query<ConfigRow>({
      name: 'providers-all',
      text: `select ${COLUMNS} from provider_configs order by tenant, channel, position, name`,
    });
    return { version, configs: rows.map(configOf) };
  });
}

/** A tenant's, by channel, position and name; of one name when it is given. */
export async function listProviders(db: Queryable, tenant: string, name?: string): Promise<ProviderConfig[]> {
  const { rows } = await db.query<ConfigRow>({
    name: 'providers-list',
    text: `select ${COLUMNS} from provider_configs where tenant = $1 and ($2::text is null or name = $2)
           order by channel, position, name`,
    values: [tenant, name ?? null],
  });
  return rows.map(configOf);
}

/**
 * Runs `work` with the number of this change; other changes wait for its end, so what `work` reads is what it replaces. When it
 * throws, there was no change.
 */
export function changeProviders<T>(
  db: Database,
  work: (tx: Queryable, version: number) => Promise<T>,
): Promise<T> {
  return db.transaction(async (tx) => {
    const { rows } = await tx.query<{ version: number }>({
      name: 'providers-change',
      text: 'update mesh set providers_version = providers_version + 1 returning providers_version::float8 as version',
    });
    const version = rows[0]?.version;
    if (version === undefined) throw new Error('the mesh table is empty');
    return work(tx, version);
  });
}

/** Within a change: stores it whole, in place of what was there. LIMIT_REACHED past the bounds of the tenant and of the mesh. */
export async function storeProvider(
  tx: Queryable,
  config: Omit<ProviderConfig, 'updatedAtMs'>,
): Promise<ProviderConfig> {
  const { rows } = await tx.query<ConfigRow>({
    name: 'providers-put',
    text: `insert into provider_configs
             (tenant, channel, name, kind, position, weight, draining, settings, secret_names, secrets, version)
           select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
           where exists (select from provider_configs where tenant = $1 and channel = $2 and name = $3)
              or ((select count(*) from provider_configs where tenant = $1) < $12
                  and (select count(*) from provider_configs) < $13)
           on conflict (tenant, channel, name) do update set
             kind = excluded.kind, position = excluded.position, weight = excluded.weight, draining = excluded.draining,
             settings = excluded.settings, secret_names = excluded.secret_names, secrets = excluded.secrets,
             version = excluded.version, updated_at = now()
           returning ${COLUMNS}`,
    values: [
      config.tenant,
      config.channel,
      config.name,
      config.kind,
      config.position,
      config.weight,
      config.draining,
      JSON.stringify(config.settings),
      [...config.secretNames],
      config.secrets === undefined ? null : Buffer.from(config.secrets),
      config.version,
      limits.providerConfigsPerTenantCount,
      limits.providerConfigsCount,
    ],
  });
  const stored = rows[0];
  if (!stored)
    throw new CarillonError(
      'LIMIT_REACHED',
      `There are as many providers as the mesh keeps: ${limits.providerConfigsPerTenantCount} of one tenant, ${limits.providerConfigsCount} of all.`,
    );
  return configOf(stored);
}

/** Within a change: false when there was none. */
export async function removeProvider(
  tx: Queryable,
  { tenant, channel, name }: ProviderKey,
): Promise<boolean> {
  const { rowCount } = await tx.query({
    name: 'providers-delete',
    text: 'delete from provider_configs where tenant = $1 and channel = $2 and name = $3',
    values: [tenant, channel, name],
  });
  return rowCount === 1;
}
