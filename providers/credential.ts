// A token that is made once for all who ask, renewed ahead of its end, and never more often than it may be.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Outcome } from './provider.ts';

/** A token, or what a call comes to that cannot have one: nothing was sent. */
export type Had = { token: string } | { outcome: Outcome };

export interface Made {
  token: string;
  /** From when on a new one is made while this one is still used, milliseconds by `clock.now()`. */
  renewAtMs: number;
  /** From when on it is not used. */
  endsAtMs: number;
}

export type MakeToken = (signal: AbortSignal) => Promise<Made | { outcome: Outcome }>;

const tooLate: Had = { outcome: { kind: 'down', reason: 'no token in time' } };

export class Credential implements Disposable {
  readonly #make: MakeToken;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  #made: Made | undefined;
  #making: Promise<Had> | undefined;
  #notBeforeMs = 0;

  constructor(clock: Clock, make: MakeToken) {
    this.#clock = clock;
    this.#make = make;
  }

  /** Never rejects. Waits no longer than `signal`; the renewal it waited for goes on for the others. */
  async get(signal: AbortSignal): Promise<Had> {
    const nowMs = this.#clock.now();
    const made = this.#made;
    if (made && nowMs < made.endsAtMs) {
      if (nowMs >= made.renewAtMs && nowMs >= this.#notBeforeMs) void this.#renew();
      return { token: made.token };
    }
    if (signal.aborted) return tooLate;
    const late = Promise.withResolvers<Had>();
    const onAbort = () => late.resolve(tooLate);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([this.#renew(), late.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** The service refused this token: the next call has another one, unless there is one already. */
  refuse(token: string): void {
    if (this.#made?.token === token) this.#made = undefined;
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  #renew(): Promise<Had> {
    this.#making ??= this.#run().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  async #run(): Promise<Had> {
    try {
      const made = await this.#make(this.#stop.signal);
      if ('token' in made) this.#made = made;
      else this.#notBeforeMs = this.#clock.now() + limits.credentialPauseMs;
      return made;
    } catch (error) {
      const reason = error instanceof Error ? error.name : 'Error';
      return { outcome: { kind: 'config', reason: `a token cannot be made (${reason})` } };
    }
  }
}
