// Remembers how long ago each frame of a stream was written at least, in a few numbers however many frames there were.

/** Frames within this time share one entry. */
const GRAIN_MS = 500;
const ENTRIES = 12;

/**
 * Entries are (highest seq, time it was written), thinned so that their ages form a rough geometric row: an answer is
 * never too long, and short by at most about half.
 */
export class WriteTimes {
  #seq: number;
  #ms: number;
  /** When the newest entry began. */
  #sinceMs: number;
  /** Older entries, oldest first: seq, ms, seq, ms … Made when there is a second one. */
  #older: number[] | undefined;

  /** Everything up to `seq` had been written by `nowMs`. */
  constructor(seq: number, nowMs: number) {
    this.#seq = seq;
    this.#ms = nowMs;
    this.#sinceMs = nowMs;
  }

  wrote(seq: number, nowMs: number): void {
    if (nowMs - this.#sinceMs >= GRAIN_MS) {
      this.#push();
      this.#sinceMs = nowMs;
    }
    this.#seq = seq;
    this.#ms = nowMs;
  }

  /** At least so long ago was `seq` written, milliseconds. Only for a `seq` that was. */
  agoMs(seq: number, nowMs: number): number {
    const older = this.#older;
    if (older)
      for (let at = 0; at < older.length; at += 2)
        if (older[at]! >= seq) return Math.max(0, nowMs - older[at + 1]!);
    return Math.max(0, nowMs - this.#ms);
  }

  #push(): void {
    this.#older ??= [];
    const older = this.#older;
    older.push(this.#seq, this.#ms);
    if (older.length <= ENTRIES * 2) return;
    // Drops the entry whose frames lose least of their age, in proportion, when the next one answers for them.
    let drop = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let at = 0; at + 3 < older.length; at += 2) {
      const lost = (older[at + 3]! - older[at + 1]!) / (this.#ms - older[at + 3]! + GRAIN_MS);
      if (lost < least) {
        least = lost;
        drop = at;
      }
    }
    older.splice(drop, 2);
  }
}
