// How many calls a second a provider gets: what is configured at most, less when it asks for less, slowly more when it does not.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { LaneBuckets } from './lane-buckets.ts';
import type { LaneName } from './lanes.ts';

/** The slowest that a provider can make us: one call in ten seconds, so that we notice when it takes more again. */
const LEAST_PER_SECOND = 0.1;
/** A bound that was found by being throttled is dropped when it is so many times what was throttled: it bounds nothing then. */
const FAR_PAST = 8;

/**
 * Additive increase, multiplicative decrease. Several processes that call the same provider find their parts of its rate by
 * the same answers, without knowing of one another.
 */
export class Rate {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #buckets: LaneBuckets;
  #cutMs = Number.NEGATIVE_INFINITY;
  #raisedMs = 0;
  /** Calls a second at which it was throttled last. */
  #throttledAt = 0;
  /** Calls in this second, and in the one before. */
  #calls = { sinceMs: 0, now: 0, before: 0 };

  /** `most`: calls a second; Infinity when absent. */
  constructor(clock: Clock, most = Number.POSITIVE_INFINITY) {
    this.#clock = clock;
    this.#most = most;
    this.#buckets = new LaneBuckets(clock, most);
    this.#calls.sinceMs = clock.monotonic();
  }

  /** At present; Infinity: as many as come. */
  get perSecond(): number {
    return this.#buckets.perSecond;
  }

  /** The right to make one call, or in how many milliseconds it is worth to ask again; 0: now. */
  take(lane: LaneName): number {
    const waitMs = this.#buckets.take(lane);
    if (waitMs === 0) {
      this.#turnSecond();
      this.#calls.now += 1;
    }
    return waitMs;
  }

  /** The provider asked for patience. */
  throttled(): void {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#cutMs < limits.providerRateCutMs) return;
    this.#turnSecond();
    const { now, before } = this.#calls;
    this.#throttledAt = Math.min(this.perSecond, Math.max(now, before, 1));
    this.#buckets.perSecond = Math.max(LEAST_PER_SECOND, this.#throttledAt * limits.providerRateCut);
    this.#cutMs = nowMs;
    this.#raisedMs = nowMs;
  }

  /** The provider took a call. */
  worked(): void {
    if (this.perSecond >= this.#most) return;
    const nowMs = this.#clock.monotonic();
    // What was idle for long may go on faster, but not as if it had been tried all the while.
    const seconds = Math.min(1, (nowMs - this.#raisedMs) / 1000);
    this.#raisedMs = nowMs;
    const raised = this.perSecond + seconds * Math.max(1, this.#throttledAt * limits.providerRateStep);
    const past = this.#most === Number.POSITIVE_INFINITY && raised >= this.#throttledAt * FAR_PAST;
    this.#buckets.perSecond = past ? this.#most : Math.min(this.#most, raised);
  }

  #turnSecond(): void {
    const nowMs = this.#clock.monotonic();
    const goneMs = nowMs - this.#calls.sinceMs;
    if (goneMs < 1000) return;
    this.#calls = { sinceMs: nowMs, now: 0, before: goneMs < 2000 ? this.#calls.now : 0 };
  }
}
