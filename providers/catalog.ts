// Opens providers by what is configured: for the workers, which must go on without one that cannot be opened, and for tests.
import { Platform } from '../gen/carillon/v1/edge_pb.ts';
import { Channel, ChannelSchema, type Content, Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import { invalidRequest } from '../runtime/validation.ts';
import type { DestinationAddress } from '../storage/addresses.ts';
import {
  openSecrets,
  type ProviderConfig,
  type ProviderKey,
  type ProviderValues,
} from '../storage/provider-configs.ts';
import type { TenantKeys } from '../storage/tenant-keys.ts';
import { inTime } from './call.ts';
import type { ProviderKind } from './kind.ts';
import type { OpenedProvider } from './pools.ts';
import type { Outcome, Provider } from './provider.ts';
import { type Read, readSettings } from './setting-values.ts';

export interface CatalogOptions {
  kinds: readonly ProviderKind[];
  keys: TenantKeys;
  clock: Clock;
  ids: Ids;
  log: Log;
}

/** What a test call came to. */
export interface Tested {
  outcome: Outcome;
  tookMs: number;
}

export class Catalog {
  readonly #options: CatalogOptions;

  constructor(options: CatalogOptions) {
    this.#options = options;
  }

  /** The kind; `channel` unspecified: its only one. Throws INVALID_REQUEST with the field. */
  find(kind: string, channel: Channel): ProviderKind {
    const named = this.#options.kinds.filter((each) => each.kind === kind);
    const fit = named.filter((each) => channel === Channel.UNSPECIFIED || each.channel === channel);
    if (fit.length === 1) return fit[0]!;
    const known = [...new Set(this.#options.kinds.map((each) => each.kind))].join(', ');
    const channels = named
      .map((each) => ChannelSchema.value[each.channel]?.localName.toLowerCase())
      .join(', ');
    throw invalidRequest([
      named.length === 0
        ? { field: 'kind', description: `must be one of ${known}` }
        : { field: 'channel', description: `must be one that this kind is for: ${channels}` },
    ]);
  }

  /** What is to be stored of `given`: secrets apart. Throws INVALID_REQUEST with a violation for each setting. */
  check(
    kind: string,
    channel: Channel,
    given: ProviderValues,
  ): { plain: ProviderValues; secrets: ProviderValues } {
    const found = this.find(kind, channel);
    const { values } = this.#read(found, given);
    const isSecret = ([name]: [string, unknown]) => found.secrets.includes(name);
    return {
      plain: Object.fromEntries(Object.entries(values).filter((entry) => !isSecret(entry))),
      secrets: Object.fromEntries(Object.entries(values).filter(isSecret)),
    };
  }

  #read(kind: ProviderKind, given: ProviderValues): Read {
    const read = readSettings(kind, given);
    if ('violations' in read) throw invalidRequest(read.violations);
    return read;
  }

  /** Rejects with SECRETS_UNREADABLE, MASTER_KEY_MISSING, INVALID_REQUEST, STORE_UNAVAILABLE. */
  async #open(config: ProviderConfig): Promise<{ provider: Provider; perSecond: number | undefined }> {
    const { keys, clock, ids, log } = this.#options;
    const secrets = config.secrets ? openSecrets(await keys.of(config.tenant), config) : {};
    const kind = this.find(config.kind, config.channel);
    const { settings, perSecond } = this.#read(kind, { ...config.settings, ...secrets });
    const { name } = config;
    return {
      provider: kind.open({ name, settings, receiptsUrl: undefined, clock, ids, log }),
      perSecond,
    };
  }

  /** Never rejects: one that cannot be opened refuses every call, so that others of its pool take them. */
  readonly open = async (config: ProviderConfig): Promise<OpenedProvider> => {
    try {
      return { ...(await this.#open(config)), problem: '' };
    } catch (error) {
      const known = error instanceof CarillonError;
      const problem = known ? error.message : 'it cannot be opened; the log has the cause';
      const { log } = this.#options;
      log.error({ err: error, tenant: config.tenant, provider: config.name }, 'a provider cannot be opened');
      const again = !known || error.retry === 'backoff';
      return { provider: unusable(config, problem), perSecond: undefined, problem, again };
    }
  };

  /** Sends one message with what is stored. Rejects when it cannot be opened, as `check`, or SECRETS_UNREADABLE. */
  async test(config: ProviderConfig, address: string, content: Content): Promise<Tested> {
    const { clock, ids } = this.#options;
    const { provider } = await this.#open(config);
    await using _closing = provider;
    const to = destinations(config.channel, address, clock.now()).find((each) => provider.serves(each));
    if (!to)
      throw invalidRequest([{ field: 'address', description: 'is not one that this provider sends to' }]);
    const attemptId = ids.uuid();
    const startMs = clock.monotonic();
    const outcome = await inTime((signal) =>
      provider.send(
        {
          tenant: config.tenant,
          notificationId: ids.uuid(),
          userId: 'carillon-test',
          address: to,
          category: '',
          lane: Lane.CRITICAL,
          content,
          expiresAtMs: clock.now() + limits.providerTestTtlMs,
          traceparent: undefined,
          attemptId,
        },
        { signal, attemptId },
      ),
    );
    return { outcome, tookMs: clock.monotonic() - startMs };
  }
}

function unusable({ name, channel }: ProviderKey, problem: string): Provider {
  const kinds: Partial<Record<Channel, DestinationAddress['kind']>> = {
    [Channel.PUSH]: 'device',
    [Channel.EMAIL]: 'email',
    [Channel.SMS]: 'phone',
  };
  return {
    name,
    channel,
    serves: ({ kind }) => kind === kinds[channel],
    send: () => Promise.resolve({ kind: 'config', reason: problem }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** What an address may mean in a channel: the token of a device does not say of which platform. */
function destinations(channel: Channel, address: string, nowMs: number): DestinationAddress[] {
  if (channel === Channel.EMAIL) return [{ kind: 'email', email: address }];
  if (channel === Channel.SMS) return [{ kind: 'phone', phone: address }];
  return Object.values(Platform)
    .filter((platform) => typeof platform === 'number')
    .map((platform) => ({
      kind: 'device',
      deviceId: 'carillon-test',
      platform,
      token: address,
      registeredAtMs: nowMs,
    }));
}
