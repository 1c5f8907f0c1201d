// A rate that is shared by lanes: each has a part of its own, and what one does not use is there for the others.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { type LaneName, laneNames } from './lanes.ts';

/**
 * A bucket of tokens for each lane and one for all: each lane's fills at its share of the rate, and what runs over goes into
 * the one for all. In any `t` seconds at most `rate × (t + 2 × burst)` calls go out, and a few more for buckets below one token.
 */
export class LaneBuckets {
  readonly #clock: Clock;
  readonly #own: Record<LaneName, number> = { critical: 0, normal: 0, bulk: 0 };
  #spare = 0;
  #perSecond: number;
  #filledMs: number;

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#filledMs = clock.monotonic();
    if (Number.isFinite(perSecond)) this.#fillUp();
  }

  get perSecond(): number {
    return this.#perSecond;
  }

  /** Goes on at another rate, with full buckets if there was none. */
  set perSecond(perSecond: number) {
    const unbounded = !Number.isFinite(this.#perSecond);
    this.#fill();
    this.#perSecond = perSecond;
    if (unbounded && Number.isFinite(perSecond)) this.#fillUp();
  }

  /** Takes a token, or says in how many milliseconds it is worth to ask again; 0: taken. */
  take(lane: LaneName): number {
    if (!Number.isFinite(this.#perSecond)) return 0;
    this.#fill();
    if (this.#own[lane] >= 1) {
      this.#own[lane] -= 1;
      return 0;
    }
    if (this.#spare >= 1) {
      this.#spare -= 1;
      return 0;
    }
    const ownMs = ((1 - this.#own[lane]) / (this.#perSecond * limits.providerRateShares[lane])) * 1000;
    // Only when all others are idle does what they leave come as fast as this.
    const spareMs = ((1 - this.#spare) / this.#perSecond) * 1000;
    return Math.max(1, Math.ceil(Math.min(ownMs, spareMs)));
  }

  #cap(lane: LaneName): number {
    return Math.max(1, this.#perSecond * limits.providerRateShares[lane] * limits.providerRateBurst);
  }

  #fillUp(): void {
    for (const lane of laneNames) this.#own[lane] = this.#cap(lane);
    this.#spare = 0;
  }

  #fill(): void {
    const nowMs = this.#clock.monotonic();
    const seconds = (nowMs - this.#filledMs) / 1000;
    this.#filledMs = nowMs;
    if (!Number.isFinite(this.#perSecond)) return;
    let over = 0;
    for (const lane of laneNames) {
      const full = this.#own[lane] + seconds * this.#perSecond * limits.providerRateShares[lane];
      const cap = this.#cap(lane);
      this.#own[lane] = Math.min(full, cap);
      over += Math.max(0, full - cap);
    }
    this.#spare = Math.min(this.#spare + over, Math.max(1, this.#perSecond * limits.providerRateBurst));
  }
}
