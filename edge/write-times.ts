// Remembers how long ago each frame of a stream was written at least, in few numbers however many frames there were.

/** Frames within this time share one entry. */
const GRAIN_MS = 500;
/** Enough for streams of weeks: two entries for each doubling of the age. */
const ENTRIES = 64;

/**
 * Entries are (highest seq, time it was written). One goes when the next can answer for its frames with at least half of
 * their age; as they grow older that only gets better. So an answer is never too long, and at least about half.
 */
export class WriteTimes {
  readonly #startMs: number;
  // Times count from `#startMs`: small integers lie in the object itself, and this one is written with every frame.
  #seq: number;
  #ms = 0;
  /** When the newest entry began. */
  #sinceMs = 0;
  /** Older entries, oldest first: seq, ms, seq, ms … Made when there is a second one. */
  #older: number[] | undefined;

  /** Everything up to `seq` had been written by `nowMs`. */
  constructor(seq: number, nowMs: number) {
    this.#seq = seq;
    this.#startMs = nowMs;
  }

  wrote(seq: number, nowMs: number): void {
    const ms = nowMs - this.#startMs;
    if (ms - this.#sinceMs >= GRAIN_MS) {
      this.#push(ms);
      this.#sinceMs = ms;
    }
    this.#seq = seq;
    this.#ms = ms;
  }

  /** At least so long ago was `seq` written, milliseconds. Only for a `seq` that was. */
  agoMs(seq: number, nowMs: number): number {
    const older = this.#older;
    const ms = nowMs - this.#startMs;
    if (older)
      for (let at = 0; at < older.length; at += 2)
        if (older[at]! >= seq) return Math.max(0, ms - older[at + 1]!);
    return Math.max(0, ms - this.#ms);
  }

  #push(ms: number): void {
    this.#older ??= [];
    const older = this.#older;
    older.push(this.#seq, this.#ms);
    let kept = 0;
    let beforeMs = 0;
    for (let at = 0; at < older.length; at += 2) {
      const nextMs = older[at + 3];
      if (nextMs !== undefined && nextMs - beforeMs <= ms - nextMs) continue;
      beforeMs = older[at + 1]!;
      older[kept] = older[at]!;
      older[kept + 1] = beforeMs;
      kept += 2;
    }
    older.length = kept;
    if (kept > ENTRIES * 2) older.splice(0, 2);
  }
}
