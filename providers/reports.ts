// Says every few seconds, and whenever a breaker changes, how this process's providers are: for `carillon providers list`.
import { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Database } from '../storage/database.ts';
import { putProviderReports } from '../storage/provider-reports.ts';
import type { PoolMember } from './pool.ts';

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
  members: readonly PoolMember[];
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
    const { members, metrics } = this.#options;
    for (const { provider, breaker } of members)
      metrics.breakerState.record(breakerGauge[breaker.state] ?? 0, { provider: provider.name });
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

  async #write(): Promise<void> {
    const { db, node, members, log } = this.#options;
    const reports = members.map(({ provider, breaker }) => ({
      provider: provider.name,
      channel: provider.channel,
      breaker: breaker.state,
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
