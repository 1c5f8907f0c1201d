// Decides whether a stream may be opened before anything is read for it: a herd is sent away cheaply, with a time to come back.

import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';

export interface AdmissionBounds {
  streamsCount: number;
  perUserCount: number;
  opensPerSecond: number;
  burstCount: number;
}

export const defaultAdmission: AdmissionBounds = {
  streamsCount: limits.edgeStreamsCount,
  perUserCount: limits.streamsPerUserCount,
  opensPerSecond: limits.streamOpensPerSecond,
  burstCount: limits.streamOpensBurstCount,
};

export class Admission {
  readonly #bounds: AdmissionBounds;
  readonly #clock: Clock;
  readonly #ids: Ids;
  #tokens: number;
  #filledMs: number;
  #closed = false;

  constructor(bounds: AdmissionBounds, clock: Clock, ids: Ids) {
    this.#bounds = bounds;
    this.#clock = clock;
    this.#ids = ids;
    this.#tokens = bounds.burstCount;
    this.#filledMs = clock.monotonic();
  }

  /** From now on every stream is refused with SHUTTING_DOWN. */
  close(): void {
    this.#closed = true;
  }

  /** Takes a token, or throws TOO_MANY_STREAMS or SHUTTING_DOWN, each with a delay of its own for every client. */
  admit(open: { streams: number; ofUser: number }): void {
    if (this.#closed) throw this.#refusal('SHUTTING_DOWN');
    if (open.ofUser >= this.#bounds.perUserCount)
      throw this.#refusal('TOO_MANY_STREAMS', 'This user has too many streams open.');
    const nowMs = this.#clock.monotonic();
    const earned = ((nowMs - this.#filledMs) / 1_000) * this.#bounds.opensPerSecond;
    this.#tokens = Math.min(this.#bounds.burstCount, this.#tokens + earned);
    this.#filledMs = nowMs;
    if (open.streams >= this.#bounds.streamsCount || this.#tokens < 1)
      throw this.#refusal('TOO_MANY_STREAMS');
    this.#tokens--;
  }

  #refusal(reason: 'TOO_MANY_STREAMS' | 'SHUTTING_DOWN', message?: string): CarillonError {
    const [leastMs, mostMs] = limits.admissionRetryMs;
    return new CarillonError(reason, message, {
      retryAfterMs: Math.round(leastMs + this.#ids.random() * (mostMs - leastMs)),
    });
  }
}
