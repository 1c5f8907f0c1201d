// Streams that began from memory are looked up in the store afterwards: at once when they are few, at a pace when they are a storm.
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Session } from './session.ts';
import { TokenBucket } from './token-bucket.ts';

const BATCH_COUNT = (limits.recentVerifyPerSecond * limits.recentVerifyMs) / 1_000;

export class Verification implements Disposable {
  readonly #clock: Clock;
  readonly #pace: TokenBucket;
  #line: Session[] = [];
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#pace = new TokenBucket(limits.recentVerifyPerSecond, BATCH_COUNT, clock);
  }

  /** The line is as long as there are streams at most: each is added once, when it begins. */
  add(session: Session): void {
    if (this.#line.length === 0 && this.#pace.take()) {
      session.catchUp();
      return;
    }
    this.#line.push(session);
    this.#timer ??= this.#clock.every(limits.recentVerifyMs, () => this.#turn()).unref();
  }

  #turn(): void {
    // What is asked for in one go becomes one query (replay.ts).
    let at = 0;
    while (at < this.#line.length && this.#pace.take()) this.#line[at++]!.catchUp();
    this.#line = this.#line.slice(at).filter(({ over }) => !over);
    if (this.#line.length === 0) this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#line = [];
  }
}
