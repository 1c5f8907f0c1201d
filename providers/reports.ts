// Says every few seconds, and whenever a breaker changes, how this process's providers are: for `carillon providers list`.
import { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Database } from '../storage/database.ts';
import { putProviderReports } from '../storage/provider-reports.ts';
import type { Pools } from './pools.ts';

/** The gauge's numbers, as documented. */
const breakerGauge: Record<BreakerState, number> = {
  [BreakerState.UNSPECIFIED]: 0,
  [BreakerState.CLOSED]: 0,
  [BreakerState.HALF_OPEN]: 1,
  [BreakerState.OPEN]: 2,
};

export interface ReportsOptions {
  db: Database;
  node: string;
  pools: Pick<Pools, 'members'>;
  clock: Clock;
  metrics: Metrics;
  log: Log;
}

export class Reports implements AsyncDisposable {
  readonly #options: ReportsOptions;
  readonly #timer;
  #writing: Promise<void> | undefined;
  #again = false;

  constructor(options: ReportsOptions) {
    this.#options = options;
    this.#timer = options.clock.every(limits.providerReportMs, () => this.changed()).unref();
    this.changed();
  }

  /** Writes a report now; while one is being written, one more follows it. */
  changed(): void {
    this.#measure();
    if (this.#writing) {
      this.#again = true;
      return;
    }
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
      if (this.#again) {
        this.#again = false;
        this.changed();
      }
    });
  }

  /** Providers of one name in several tenants are one line: the state that is worst, the rate of all. */
  #measure(): void {
    const { pools, metrics } = this.#options;
    for (const [provider, members] of Map.groupBy(pools.members, (member) => member.provider.name)) {
      const states = members.map((member) => breakerGauge[member.breakerState] ?? 0);
      metrics.breakerState.record(Math.max(...states), { provider });
      const rate = members.reduce((sum, member) => sum + member.rate.perSecond, 0);
      metrics.providerRate.record(Number.isFinite(rate) ? rate : 0, { provider });
    }
  }

  async #write(): Promise<void> {
    const { db, node, pools, log } = this.#options;
    const reports = pools.members.map(({ tenant, provider, breakerState, rate, problem }) => ({
      tenant,
      provider: provider.name,
      channel: provider.channel,
      breaker: breakerState,
      rate: Number.isFinite(rate.perSecond) ? rate.perSecond : 0,
      problem,
    }));
    await putProviderReports(db, node, reports).catch((error: unknown) =>
      log.warn({ err: error }, 'the providers could not be reported; the next report follows'),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer[Symbol.dispose]();
    this.#again = false;
    await this.#writing;
  }
}
