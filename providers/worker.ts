// Runs the providers: a subscription and a due loop for each channel and lane, a pool of providers for each channel.
import type { EventLog, Handoff, ReceivedRecord, Subscription } from '../eventlog/event-log.ts';
import { lanes as allLanes, channelName, channelTopic, laneName } from '../eventlog/topics.ts';
import type { Channel, Lane } from '../gen/carillon/v1/notification_pb.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { type Ids, systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { type Tracing, tracingOff } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import { type OpenProvider, Pools } from './pools.ts';
import type { Provider } from './provider.ts';
import { Reports } from './reports.ts';
import { Share } from './share.ts';

export interface ProviderWorkerOptions {
  db: Database;
  log: EventLog;
  handoff: Handoff;
  /**
   * For tenants that configured none in a channel; the preferred one first within its channel. The worker closes them when
   * it is disposed.
   */
  providers: readonly Provider[];
  /** Opens those that tenants configured. */
  open: OpenProvider;
  /** Channels to work on; those that have a provider when absent. A channel without one ends its rows as FAILED. */
  channels?: readonly Channel[];
  /** Lanes to work on; all when absent. */
  lanes?: readonly Lane[];
  /** This process, as `carillon providers list` shows it. */
  node: string;
  /** Keeps a record that could not be handled. Must have stored it when it resolves. */
  onPoison: (record: ReceivedRecord, error: unknown) => Promise<void>;
  /** Delays before the second try, the third, …; `limits.providerRetryMs` when absent. */
  retryMs?: readonly number[];
  breaker?: { failures?: number; openMs?: number };
  /** Rows held at once per channel and lane. */
  claimedCount?: number;
  /** No other process works on this store: what an earlier one left is taken up at once. */
  alone?: boolean;
  metrics: Metrics;
  tracing?: Tracing;
  logger: Log;
  clock?: Clock;
  ids?: Ids;
  /** What the store takes for now; the database's clock when absent (null). For tests that move time by hand. */
  now?: () => Date | null;
}

export interface ProviderWorker extends AsyncDisposable {
  /** Resolves when every subscription has its partitions. */
  ready(): Promise<void>;
  /** Resolves when no row is held by this process. */
  idle(): Promise<void>;
}

/** The consumer group of a channel and lane. */
export const providerGroup = (channel: Channel, lane: Lane): string =>
  `providers.${channelName(channel)}.${laneName(lane)}`;

/** Rejects with STORE_UNAVAILABLE when the configured providers cannot be read. */
export async function startProviderWorker(options: ProviderWorkerOptions): Promise<ProviderWorker> {
  const { db, log, handoff, providers, metrics, clock = systemClock } = options;
  const channels = options.channels ?? [...new Set(providers.map((provider) => provider.channel))];
  const stopping = new AbortController();
  await using stack = new AsyncDisposableStack();
  let reports: Reports | undefined;
  const pools = stack.use(
    new Pools({
      db,
      defaults: providers,
      open: options.open,
      random: () => (options.ids ?? systemIds).random(),
      clock,
      log: options.logger,
      breaker: options.breaker,
      onChange: () => reports?.changed(),
    }),
  );
  await pools.look();
  reports = stack.use(new Reports({ db, node: options.node, pools, clock, metrics, log: options.logger }));
  pools.poll();

  const shares: Share[] = [];
  const subscriptions: Subscription[] = [];
  for (const channel of channels)
    for (const lane of options.lanes ?? allLanes) {
      const share = stack.use(
        new Share({
          db,
          handoff,
          clock,
          ids: options.ids ?? systemIds,
          now: options.now ?? (() => null),
          retryMs: options.retryMs ?? limits.providerRetryMs,
          metrics,
          tracing: options.tracing ?? tracingOff,
          log: options.logger,
          stopping: stopping.signal,
          channel,
          lane,
          pools,
          ...(options.claimedCount !== undefined && { claimedCount: options.claimedCount }),
          alone: options.alone === true,
        }),
      );
      shares.push(share);
      const subscription = await log.subscribe({
        group: providerGroup(channel, lane),
        topics: [channelTopic(channel, lane)],
        onBatch: (batch) => share.onBatch(batch),
        onPoison: options.onPoison,
      });
      subscriptions.push(stack.use(subscription));
    }
  stack.defer(() => stopping.abort());
  const owned = stack.move();
  return {
    ready: async () => void (await Promise.all(subscriptions.map((subscription) => subscription.ready()))),
    idle: async () => void (await Promise.all(shares.map((share) => share.idle()))),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
