// Opens a breaker when too large a share of recent calls failed, though never so many in a row: a brown-out.
import { CircuitState, type IBreaker } from 'cockatiel';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';

const WINDOWS = 10;

interface Window {
  number: number;
  failures: number;
  calls: number;
}

/** cockatiel's SamplingBreaker with the mesh's clock instead of the wall's, and a least number of calls instead of calls a second. */
export class FailureShare implements IBreaker {
  readonly #clock: Clock;
  #windows: Window[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Nothing of it is kept. */
  state: unknown = undefined;

  success(state: CircuitState): void {
    if (state === CircuitState.HalfOpen) this.#windows = [];
    this.#count(0);
  }

  failure(state: CircuitState): boolean {
    this.#count(1);
    if (state !== CircuitState.Closed) return true;
    const calls = this.#sum(({ calls }) => calls);
    const failures = this.#sum(({ failures }) => failures);
    return calls >= limits.breakerShareCallsCount && failures >= calls * limits.breakerFailureShare;
  }

  #count(failures: number): void {
    const number = Math.floor(this.#clock.monotonic() / (limits.breakerShareMs / WINDOWS));
    this.#windows = this.#windows.filter((window) => window.number > number - WINDOWS);
    let window = this.#windows.at(-1);
    if (window?.number !== number) {
      window = { number, failures: 0, calls: 0 };
      this.#windows.push(window);
    }
    window.calls += 1;
    window.failures += failures;
  }

  #sum(of: (window: Window) => number): number {
    return this.#windows.reduce((sum, window) => sum + of(window), 0);
  }
}

/** Opens when one of them does; all count every call. */
export class AnyOf implements IBreaker {
  readonly #breakers: readonly IBreaker[];

  constructor(breakers: readonly IBreaker[]) {
    this.#breakers = breakers;
  }

  /** Nothing of it is kept. */
  state: unknown = undefined;

  success(state: CircuitState): void {
    for (const breaker of this.#breakers) breaker.success(state);
  }

  failure(state: CircuitState): boolean {
    return this.#breakers.map((breaker) => breaker.failure(state)).includes(true);
  }
}
