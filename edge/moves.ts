// When the ring has changed, streams that may go to their new edge are sent there: later, one by one, and only if the change has stood.
import type { View } from '../cluster/membership.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Departures } from './departures.ts';
import type { Session } from './session.ts';
import { TokenBucket } from './token-bucket.ts';

export interface MovesOptions {
  sessions: () => readonly Session[];
  departures: Departures;
  clock: Clock;
}

export class Moves implements Disposable {
  readonly #options: MovesOptions;
  readonly #pace: TokenBucket;
  /** Of the view by which streams have been looked at, or are. */
  #hash: string | undefined;
  #settling: Timer | undefined;
  #walking: Timer | undefined;
  #left: readonly Session[] = [];
  #at = 0;

  constructor(options: MovesOptions) {
    this.#options = options;
    const burst = Math.ceil((limits.ringMovesPerSecond * limits.ringMovesTickMs) / 1_000);
    this.#pace = new TokenBucket(limits.ringMovesPerSecond, burst, options.clock);
  }

  /** Called with each view. One that is back to what it was before it has stood `limits.viewSettledMs` moves nobody. */
  look({ hash }: Pick<View, 'hash'>): void {
    this.#settling?.[Symbol.dispose]();
    this.#settling = undefined;
    if (hash === this.#hash) return;
    // Those who have been told are on their way; the others wait for what will stand, be it this view again.
    if (this.#walking) this.#hash = undefined;
    this.#stop();
    this.#settling = this.#options.clock
      .after(limits.viewSettledMs, () => {
        this.#settling = undefined;
        this.#hash = hash;
        this.#walk();
      })
      .unref();
  }

  #walk(): void {
    this.#left = this.#options.sessions();
    this.#at = 0;
    this.#walking = this.#options.clock.every(limits.ringMovesTickMs, () => this.#tick()).unref();
  }

  #tick(): void {
    const { departures } = this.#options;
    const end = Math.min(this.#left.length, this.#at + limits.ringMovesScanCount);
    for (; this.#at < end; this.#at++) {
      const session = this.#left[this.#at]!;
      if (session.over || session.leaving || !session.mayRedirect) continue;
      if (departures.elsewhere(session.user) === undefined) continue;
      // Not yet greeted, or nobody's turn: from here on at the next tick.
      if (!session.open || !this.#pace.take() || !departures.take()) return;
      departures.tell(session, 'MOVED');
    }
    if (this.#at === this.#left.length) this.#stop();
  }

  #stop(): void {
    this.#walking?.[Symbol.dispose]();
    this.#walking = undefined;
    this.#left = [];
  }

  [Symbol.dispose](): void {
    this.#settling?.[Symbol.dispose]();
    this.#settling = undefined;
    this.#stop();
  }
}
