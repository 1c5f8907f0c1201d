// The providers of the caller's tenant: put in part or whole, checked by their kind, their secrets sealed before they are kept.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { HandlerContext } from '@connectrpc/connect';
import {
  BreakerState,
  type DeleteProviderRequest,
  type ProviderStatusSchema,
  type PutProviderRequest,
  type TestProviderRequest,
} from '../gen/carillon/v1/admin_pb.ts';
import { Channel, type Content, ContentSchema } from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { principalOf } from '../runtime/identity.ts';
import { invalidRequest } from '../runtime/validation.ts';
import type { Database, Queryable } from '../storage/database.ts';
import {
  changeProviders,
  listProviders as listConfigs,
  openSecrets,
  type ProviderConfig,
  type ProviderKey,
  type ProviderValues,
  removeProvider,
  sealSecrets,
  storeProvider,
} from '../storage/provider-configs.ts';
import { listProviderReports, type StoredReport } from '../storage/provider-reports.ts';
import type { TenantKey, TenantKeys } from '../storage/tenant-keys.ts';

/** The port to what knows the kinds of providers. */
export interface ProviderCatalog {
  /** `channel` unspecified: the kind's only one. Throws INVALID_REQUEST. */
  find(kind: string, channel: Channel): { readonly channel: Channel };
  /** What is to be stored, secrets apart. Throws INVALID_REQUEST with a violation for each setting. */
  check(
    kind: string,
    channel: Channel,
    given: ProviderValues,
  ): { plain: ProviderValues; secrets: ProviderValues };
  /** Sends one message with what is stored. Rejects with INVALID_REQUEST, SECRETS_UNREADABLE, MASTER_KEY_MISSING. */
  test(
    config: ProviderConfig,
    address: string,
    content: Content,
  ): Promise<{
    outcome: { kind: string; reason?: string; messageId?: string };
    tookMs: number;
  }>;
}

export interface ProvidersContext {
  readonly db: Database;
  readonly catalog: ProviderCatalog;
  readonly keys: TenantKeys;
}

const HIDDEN = '***';

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Fit to be shown to the tenant's operators. */
function providerOf({ settings, secretNames, updatedAtMs, version, ...config }: ProviderConfig) {
  const { name, channel, kind, position, weight, draining } = config;
  const plain = Object.entries(settings).map(([key, value]) => [key, shown(value)]);
  const hidden = secretNames.map((key) => [key, HIDDEN]);
  return {
    name,
    channel,
    kind,
    position,
    weight,
    draining,
    settings: Object.fromEntries([...plain, ...hidden]) as Record<string, string>,
    version: BigInt(version),
    updatedAt: timestampFromMs(updatedAtMs),
  };
}

const said = ({ breaker, node, reportedAtMs, rate, problem }: StoredReport) => ({
  breaker,
  node,
  reportedAt: timestampFromMs(reportedAtMs),
  ratePerSecond: rate,
  problem,
});

type Status = MessageInitShape<typeof ProviderStatusSchema> & { channel: Channel };

/** What each process says of each provider; what no process has used yet stands there without one. */
export async function listProviders(
  { db }: ProvidersContext,
  _request: unknown,
  call: HandlerContext,
): Promise<{ providers: Status[] }> {
  const { tenant } = principalOf(call);
  const [configs, reports] = [await listConfigs(db, tenant), await listProviderReports(db, tenant)];
  const configured = configs.flatMap((config): Status[] => {
    const { name, channel } = config;
    const own = reports.filter(
      (report) => report.tenant === tenant && report.provider === name && report.channel === channel,
    );
    const entry = { name, channel, config: providerOf(config) };
    if (own.length === 0) return [{ ...entry, breaker: BreakerState.UNSPECIFIED }];
    return own.map((report) => ({ ...entry, ...said(report) }));
  });
  const channels = new Set(configs.map(({ channel }) => channel));
  const shared = reports
    .filter((report) => report.tenant === '' && !channels.has(report.channel))
    .map((report) => ({ name: report.provider, channel: report.channel, ...said(report) }));
  return { providers: [...configured, ...shared].sort((a, b) => a.channel - b.channel) };
}

/** What is stored once the request's settings have taken their places; an empty value removes one. */
function merged(before: ProviderValues, { settings }: PutProviderRequest): ProviderValues {
  const all = { ...before, ...settings };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''));
}

interface Change {
  of: ProviderKey;
  request: PutProviderRequest;
  /** Undefined: there is no master key. */
  key: TenantKey | undefined;
  version: number;
}

/** Settings and secrets as they are after the change, sealed for its version. Throws MASTER_KEY_MISSING, INVALID_REQUEST. */
function settled(catalog: ProviderCatalog, { of, request, key, version }: Change, kept?: ProviderConfig) {
  if (kept?.secrets && !key) throw new CarillonError('MASTER_KEY_MISSING');
  const opened = kept && key ? openSecrets(key, kept) : {};
  const given = merged({ ...kept?.settings, ...opened }, request);
  const { plain, secrets } = catalog.check(request.kind, of.channel, given);
  const secretNames = Object.keys(secrets).sort();
  if (secretNames.length === 0) return { settings: plain, secretNames, secrets: undefined };
  if (!key) throw new CarillonError('MASTER_KEY_MISSING');
  return { settings: plain, secretNames, secrets: sealSecrets(key, of, version, secrets) };
}

/** INVALID_REQUEST with the setting, MASTER_KEY_MISSING, LIMIT_REACHED. */
export async function putProvider(
  { db, catalog, keys }: ProvidersContext,
  request: PutProviderRequest,
  call: HandlerContext,
) {
  const { tenant } = principalOf(call);
  const { channel } = catalog.find(request.kind, request.channel);
  const of = { tenant, channel, name: request.name || request.kind };
  // Made ahead of the change: who keeps the master key may be far away.
  const key = keys.available ? await keys.of(tenant) : undefined;
  const stored = await changeProviders(db, async (tx, version) => {
    const before = (await listConfigs(tx, tenant, of.name)).find((each) => each.channel === channel);
    const kept = before?.kind === request.kind ? before : undefined;
    const sameSettings = kept !== undefined && Object.keys(request.settings).length === 0;
    return storeProvider(tx, {
      ...of,
      kind: request.kind,
      position: request.position ?? before?.position ?? 0,
      weight: request.weight ?? before?.weight ?? 1,
      draining: request.draining ?? before?.draining ?? false,
      ...(sameSettings
        ? {
            settings: kept.settings,
            secretNames: kept.secretNames,
            secrets: kept.secrets,
            version: kept.version,
          }
        : { ...settled(catalog, { of, request, key, version }, kept), version }),
    });
  });
  return { provider: providerOf(stored) };
}

/** The only one of this name, or of this name and channel. Throws PROVIDER_NOT_FOUND, INVALID_REQUEST. */
async function named(
  db: Queryable,
  tenant: string,
  { name, channel }: { name: string; channel: Channel },
): Promise<ProviderConfig> {
  const found = name.includes('\0') ? [] : await listConfigs(db, tenant, name);
  const fit = found.filter((each) => channel === Channel.UNSPECIFIED || each.channel === channel);
  if (fit.length > 1)
    throw invalidRequest([
      { field: 'channel', description: 'is needed: providers of several channels have this name' },
    ]);
  if (!fit[0]) throw new CarillonError('PROVIDER_NOT_FOUND');
  return fit[0];
}

/** PROVIDER_NOT_FOUND. */
export async function deleteProvider(
  { db }: ProvidersContext,
  request: DeleteProviderRequest,
  call: HandlerContext,
) {
  const { tenant } = principalOf(call);
  await changeProviders(db, async (tx) => {
    await removeProvider(tx, await named(tx, tenant, request));
  });
  return {};
}

const testContent = () =>
  create(ContentSchema, { title: 'A test of Carillon', body: 'This provider works.' });

/** What became of one message. PROVIDER_NOT_FOUND, INVALID_REQUEST, SECRETS_UNREADABLE, MASTER_KEY_MISSING. */
export async function testProvider(
  { db, catalog }: ProvidersContext,
  request: TestProviderRequest,
  call: HandlerContext,
) {
  const config = await named(db, principalOf(call).tenant, request);
  const { outcome, tookMs } = await catalog.test(config, request.address, request.content ?? testContent());
  return {
    outcome: outcome.kind,
    reason: outcome.reason ?? '',
    messageId: outcome.messageId ?? '',
    took: durationFromMs(Math.round(tookMs)),
  };
}

/** How many data keys, of all tenants, were under an old master key. MASTER_KEY_MISSING, SECRETS_UNREADABLE. */
export async function rotateProviderKeys({ keys }: ProvidersContext) {
  return { rotated: await keys.rotate() };
}
