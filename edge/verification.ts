// Streams that have begun are looked up in the store once more, a moment later and at a pace: what nobody knew to send them is found.
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Session } from './session.ts';
import { TokenBucket } from './token-bucket.ts';

const BATCH_COUNT = (limits.recentVerifyPerSecond * limits.recentVerifyMs) / 1_000;

/**
 * A stream that was greeted from memory has not been looked up at all. Of one that was greeted by the store routers know
 * `limits.presenceTickMs` later: what was stored in between came too late for its page, and was sent to nobody.
 */
export class Verification implements Disposable {
  readonly #clock: Clock;
  readonly #pace: TokenBucket;
  #line: Session[] = [];
  /** So many of them have waited for a whole turn. */
  #ripe = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#pace = new TokenBucket(limits.recentVerifyPerSecond, BATCH_COUNT, clock);
  }

  /** The line is as long as there are streams at most: each is added once, when it begins. */
  add(session: Session): void {
    this.#line.push(session);
    this.#timer ??= this.#clock.every(limits.recentVerifyMs, () => this.#turn()).unref();
  }

  #turn(): void {
    // What is asked for in one go becomes one query (replay.ts).
    let at = 0;
    while (at < this.#ripe && this.#pace.take()) this.#line[at++]!.catchUp();
    this.#line = this.#line.slice(at).filter(({ over }) => !over);
    this.#ripe = this.#line.length;
    if (this.#line.length === 0) this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#line = [];
    this.#ripe = 0;
  }
}
