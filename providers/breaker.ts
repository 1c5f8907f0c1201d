// Keeps calls away from a provider that fails: open after so many failures in a row or too large a share of them, then one
// call at a time may try it, of the bulk lane first.
import { CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhenResult, type IBackoff } from 'cockatiel';
import { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { AnyOf, FailureShare } from './failure-share.ts';
import type { Outcome } from './provider.ts';

/** The right to make one call. Run it or release it; doing so twice is harmless. */
export interface Permit {
  run(call: () => Promise<Outcome>): Promise<Outcome>;
  /** The call is not made after all. */
  release(): void;
}

export interface BreakerOptions {
  clock: Clock;
  /** Failures in a row that open it. */
  failures?: number;
  /** How long it stays open before one call may try. */
  openMs?: number;
  onChange?: (state: BreakerState) => void;
}

/** Outcomes that say something about the provider rather than about the message or its address. */
function isFailure(outcome: unknown): boolean {
  const { kind, policy } = outcome as Outcome & { policy?: true };
  return kind === 'down' || kind === 'config' || kind === 'unknown' || policy === true;
}

const states: Record<CircuitState, BreakerState> = {
  [CircuitState.Closed]: BreakerState.CLOSED,
  [CircuitState.HalfOpen]: BreakerState.HALF_OPEN,
  [CircuitState.Open]: BreakerState.OPEN,
  [CircuitState.Isolated]: BreakerState.OPEN,
};

export class Breaker {
  readonly #clock: Clock;
  readonly #openMs: number;
  readonly #policy;
  #opensAgainMs = 0;
  #pausedUntilMs = 0;
  #probing = false;

  constructor({
    clock,
    failures = limits.breakerFailuresCount,
    openMs = limits.breakerOpenMs,
    onChange,
  }: BreakerOptions) {
    this.#clock = clock;
    this.#openMs = openMs;
    // cockatiel measures by the wall clock. Its backoff is asked for the duration at each look, so ours answers by the
    // mesh's clock: nothing is left to wait once the time has come, and for ever before.
    const backoff: IBackoff<unknown> = {
      next: () => {
        this.#opensAgainMs = clock.monotonic() + openMs;
        return backoff;
      },
      get duration() {
        return remaining() > 0 ? Number.POSITIVE_INFINITY : 0;
      },
    };
    const remaining = () => this.#opensAgainMs - clock.monotonic();
    this.#policy = circuitBreaker(handleWhenResult(isFailure), {
      halfOpenAfter: backoff,
      breaker: new AnyOf([new ConsecutiveBreaker(failures), new FailureShare(clock)]),
    });
    this.#policy.onStateChange((state) => onChange?.(states[state]));
  }

  get state(): BreakerState {
    return states[this.#policy.state];
  }

  /**
   * Milliseconds until a call may be made; 0: now. While a call tries a half-open one: a short while. `first: false`: others
   * shall be the ones to try it, unless they do not in `limits.breakerBulkFirstMs`.
   */
  waitMs({ first = true }: { first?: boolean } = {}): number {
    const pausedMs = Math.max(0, this.#pausedUntilMs - this.#clock.monotonic());
    const { state } = this.#policy;
    if (state === CircuitState.Closed) return pausedMs;
    if (this.#probing || state === CircuitState.HalfOpen)
      return Math.max(pausedMs, Math.min(this.#openMs, limits.providerPausedMs));
    const triedMs = this.#opensAgainMs + (first ? 0 : limits.breakerBulkFirstMs);
    return Math.max(pausedMs, triedMs - this.#clock.monotonic(), 0);
  }

  /** The provider asked for patience: no call for `ms`. */
  pause(ms: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#clock.monotonic() + ms);
  }

  /** The right to call now, or undefined. While it is open past its time, one permit is out at a time. */
  admit(whose: { first?: boolean } = {}): Permit | undefined {
    if (this.waitMs(whose) > 0) return undefined;
    const probe = this.#policy.state !== CircuitState.Closed;
    if (probe) this.#probing = true;
    let used = false;
    const done = () => {
      if (probe && !used) this.#probing = false;
      used = true;
    };
    return {
      release: done,
      run: async (call) => {
        try {
          // A call that was let in before the breaker opened is made all the same: its attempt is committed already.
          if (!probe && this.#policy.state !== CircuitState.Closed) return await call();
          return await this.#policy.execute(call);
        } finally {
          done();
        }
      },
    };
  }
}
