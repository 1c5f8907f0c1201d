// What was revoked ends the streams that it opened, within a second or two: the store is asked every second, by its position.
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Revocation, RevocationPosition } from '../storage/revocations.ts';
import type { Hub } from './hub.ts';

export interface RevocationsOptions {
  hub: Pick<Hub, 'sessionsOf'>;
  /** Tells `each` what was revoked since `position`; answers where to go on. */
  read: (position: RevocationPosition, each: (revocation: Revocation) => void) => Promise<RevocationPosition>;
  from: RevocationPosition;
  clock: Clock;
  /** The clock that tokens are judged by. */
  tokenNowMs: () => number;
  log: Log;
}

const keyOf = ({ tenant, userId, deviceId }: Revocation): string =>
  JSON.stringify([tenant, userId, deviceId]);

export class Revocations implements AsyncDisposable {
  readonly #options: RevocationsOptions;
  readonly #stop = new AbortController();
  readonly #polling: Promise<void>;
  #position: RevocationPosition;
  /**
   * Those that were read in the last `limits.revocationsHeldMs`: who judges tokens hears of them by a look of its own, so that
   * a stream may still open with a token that has been revoked.
   */
  readonly #held = new Map<string, { revocation: Revocation; untilMs: number }>();
  /** What was revoked long before the start is known to who judges tokens. */
  #begun = false;
  #failing = false;

  constructor(options: RevocationsOptions) {
    this.#options = options;
    this.#position = options.from;
    this.#polling = this.#poll();
  }

  async #poll(): Promise<void> {
    const { clock, log } = this.#options;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#look();
        this.#failing = false;
      } catch (error) {
        if (!this.#failing && !this.#stop.signal.aborted)
          log.warn({ err: error }, 'revocations cannot be read; streams stay open until they can');
        this.#failing = true;
      }
      this.#close();
      await clock.sleep(limits.revocationsPollMs, this.#stop.signal);
    }
  }

  async #look(): Promise<void> {
    const { read, tokenNowMs } = this.#options;
    this.#position = await read(this.#position, (revocation) => {
      end(this.#options.hub, revocation);
      const nowMs = tokenNowMs();
      if (this.#begun || revocation.notBeforeMs > nowMs - limits.revocationsHeldMs)
        this.#held.set(keyOf(revocation), { revocation, untilMs: nowMs + limits.revocationsHeldMs });
    });
    this.#begun = true;
  }

  #close(): void {
    const nowMs = this.#options.tokenNowMs();
    for (const [key, { revocation, untilMs }] of this.#held) {
      end(this.#options.hub, revocation);
      if (untilMs < nowMs) this.#held.delete(key);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#polling;
  }
}

/** Ends the user's streams, or those of the device, whose token was issued until then. */
function end(hub: RevocationsOptions['hub'], revocation: Revocation): void {
  for (const session of hub.sessionsOf(revocation)) {
    if (revocation.deviceId !== '' && revocation.deviceId !== session.deviceId) continue;
    if (session.issuedSeconds <= revocation.notBeforeMs / 1_000)
      session.end(new CarillonError('TOKEN_REVOKED'));
  }
}
