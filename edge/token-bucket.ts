// So many a second and no more: tokens that time brings and each use takes.
import type { Clock } from '../runtime/clock.ts';

export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #clock: Pick<Clock, 'monotonic'>;
  #tokens: number;
  #filledMs: number;

  /** Full at the beginning. `burst`: what it holds at most. */
  constructor(perSecond: number, burst: number, clock: Pick<Clock, 'monotonic'>) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#clock = clock;
    this.#tokens = burst;
    this.#filledMs = clock.monotonic();
  }

  /** Whole tokens that are there. */
  get left(): number {
    const nowMs = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#filledMs) / 1_000) * this.#perSecond);
    this.#filledMs = nowMs;
    return Math.floor(this.#tokens);
  }

  /** Takes one; false when there is none. */
  take(): boolean {
    if (this.left < 1) return false;
    this.#tokens--;
    return true;
  }
}
