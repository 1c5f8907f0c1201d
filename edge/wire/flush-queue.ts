// One queue for all streams: what was written during a loop turn goes out once per stream, and a broadcast lets the loop breathe.
import { limits } from '../../runtime/limits.ts';

export interface Flushable {
  flush(): void;
}

/** A small integer still, for streams to keep. */
const LAST_TURN = 2 ** 30;

/** Streams that wait for their write. A stream adds itself once, when its buffer stops being empty. */
export class FlushQueue {
  #current: Flushable[] = [];
  #upcoming: Flushable[] = [];
  #next = 0;
  #scheduled = false;
  #turn = 1;

  add(stream: Flushable): void {
    this.#upcoming.push(stream);
    this.#schedule();
  }

  /** The number of this turn of the loop, from 1; the next turn has another. */
  get turn(): number {
    this.#schedule();
    return this.#turn;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  readonly #run = (): void => {
    this.#turn = (this.#turn % LAST_TURN) + 1;
    if (this.#next === this.#current.length) {
      this.#current.length = 0;
      const empty = this.#current;
      this.#current = this.#upcoming;
      this.#upcoming = empty;
      this.#next = 0;
    }
    const end = Math.min(this.#next + limits.flushSliceCount, this.#current.length);
    while (this.#next < end) this.#current[this.#next++]?.flush();
    this.#scheduled = this.#next < this.#current.length || this.#upcoming.length > 0;
    if (this.#scheduled) setImmediate(this.#run);
    else this.#current.length = this.#next = 0;
  };
}
