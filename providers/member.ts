// A provider in its pools: its breaker, its rate, its slots, its place, and an end that waits for the calls it still makes.
import pLimit, { type LimitFunction } from 'p-limit';
import type { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { ProviderPlace } from '../storage/provider-configs.ts';
import { Breaker, type Permit } from './breaker.ts';
import { type LaneName, slotLane } from './lanes.ts';
import type { Outcome, Provider } from './provider.ts';
import { Rate } from './rate.ts';

export interface MemberOptions {
  provider: Provider;
  place: ProviderPlace;
  /** Who configured it; empty: it is for all who configured none. */
  tenant?: string;
  /** Of the configuration it was opened with. */
  version?: number;
  /** Why it cannot be used; empty: it can. */
  problem?: string;
  /** Calls a second at most; as many as come when absent. */
  perSecond?: number | undefined;
  clock: Clock;
  onBreaker: (provider: Provider, state: BreakerState) => void;
  breaker?: { failures?: number; openMs?: number } | undefined;
}

/** What the newest call counts of how long calls take. */
const RECENT = 0.2;

let made = 0;

export class Member implements AsyncDisposable {
  readonly provider: Provider;
  readonly tenant: string;
  readonly version: number;
  readonly problem: string;
  readonly rate: Rate;
  /** By this order everybody takes slots, so that nobody waits in a circle. */
  readonly number = made++;
  /** Calls at once, a limit of its own for each lane: the other lanes cannot use it up. */
  readonly slots: Readonly<Record<LaneName, LimitFunction>> = {
    critical: pLimit(limits.providerCallsCount.critical),
    normal: pLimit(limits.providerCallsCount.normal),
    bulk: pLimit(limits.providerCallsCount.bulk),
  };
  place: ProviderPlace;
  readonly #breaker: Breaker;
  readonly #clock: Clock;
  #bulkSeenMs = Number.NEGATIVE_INFINITY;
  /** Rows that hold a slot and wait for their turn by the rate. */
  readonly #turning: Record<LaneName, number> = { critical: 0, normal: 0, bulk: 0 };
  /** How long a call takes, the last few counting most. */
  #callMs = 0;
  /** Permits that are out. */
  #out = 0;
  #ending: PromiseWithResolvers<void> | undefined;
  #ended: Promise<void> | undefined;

  constructor(options: MemberOptions) {
    const { provider, place, clock, perSecond, breaker, onBreaker } = options;
    this.provider = provider;
    this.place = place;
    this.tenant = options.tenant ?? '';
    this.version = options.version ?? 0;
    this.problem = options.problem ?? '';
    this.rate = new Rate(clock, perSecond);
    this.#clock = clock;
    this.#breaker = new Breaker({ clock, ...breaker, onChange: (state) => onBreaker(provider, state) });
  }

  get breakerState(): BreakerState {
    return this.#breaker.state;
  }

  /** It takes nothing new: it drains, or it is no longer in a pool. */
  get closing(): boolean {
    return this.place.draining || this.#ending !== undefined;
  }

  /** A row of this lane has it to choose from. */
  seen(lane: Lane): void {
    if (lane === Lane.BULK) this.#bulkSeenMs = this.#clock.monotonic();
  }

  /** Whether a call of this lane is the one that may find out that it works again: of bulk, when there is any. */
  #first(lane: Lane): boolean {
    return lane === Lane.BULK || this.#clock.monotonic() - this.#bulkSeenMs > limits.breakerBulkSeenMs;
  }

  /** Milliseconds until a call of this lane may be made; 0: now. */
  waitMs(lane: Lane): number {
    return this.#breaker.waitMs({ first: this.#first(lane) });
  }

  /** Waits for the lane's turn by the rate. False: it does not come within `limits.providerTurnMs`, or `signal` aborted. */
  async turn(lane: Lane, signal: AbortSignal): Promise<boolean> {
    const name = slotLane(lane);
    const endMs = this.#clock.monotonic() + limits.providerTurnMs;
    this.#turning[name] += 1;
    try {
      for (;;) {
        if (this.#ending) return false;
        const waitMs = this.rate.take(name);
        if (waitMs === 0) return true;
        if (signal.aborted || this.#clock.monotonic() + waitMs > endMs) return false;
        await this.#clock.sleep(waitMs, signal);
      }
    } finally {
      this.#turning[name] -= 1;
    }
  }

  /** Whether a row of this lane would wait here for too long, by those before it, the rate, and how long calls take. */
  late(lane: Lane): boolean {
    const name = slotLane(lane);
    const { pendingCount } = this.slots[name];
    const perMs = (this.rate.perSecond * limits.providerRateShares[name]) / 1000;
    const byRateMs = (pendingCount + this.#turning[name]) / perMs;
    const bySlotsMs = (pendingCount / limits.providerCallsCount[name]) * this.#callMs;
    return Math.max(byRateMs, bySlotsMs) > limits.providerLateMs[name];
  }

  /** The right to make a call now, or undefined. `clear`: of a message that it sent, which it does while it drains as well. */
  admit(lane: Lane, what: 'send' | 'clear' = 'send'): Permit | undefined {
    if (this.#ending || (this.place.draining && what === 'send')) return undefined;
    const permit = this.#breaker.admit({ first: this.#first(lane) });
    if (!permit) return undefined;
    this.#out += 1;
    let back = false;
    const done = () => {
      if (!back) this.#out -= 1;
      back = true;
      if (this.#out === 0) this.#ending?.resolve();
    };
    return {
      release() {
        permit.release();
        done();
      },
      run: async (call) => {
        const startMs = this.#clock.monotonic();
        try {
          const outcome = await permit.run(call);
          this.#learn(outcome);
          this.#callMs += (this.#clock.monotonic() - startMs - this.#callMs) * RECENT;
          return outcome;
        } finally {
          done();
        }
      },
    };
  }

  /** Being asked for patience is no failure: it pauses, and goes on slower. */
  #learn(outcome: Outcome): void {
    if (outcome.kind === 'sent') this.rate.worked();
    if (outcome.kind !== 'throttled') return;
    this.rate.throttled();
    this.#breaker.pause(
      Math.min(Math.max(outcome.retryAfterMs, limits.providerPausedMs), limits.throttledMs),
    );
  }

  /** Takes nothing new from now on; resolves when the calls in flight have ended and the provider is closed. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#ending = Promise.withResolvers();
    if (this.#out === 0) this.#ending.resolve();
    await this.#ending.promise;
    await this.provider[Symbol.asyncDispose]();
  }
}
