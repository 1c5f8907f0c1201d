// Remembers how long ago each frame of a stream was written at least, in few numbers however many frames there were.

/** Frames within this time share one entry. */
const GRAIN_MS = 500;
/** Enough for streams of weeks: two entries for each doubling of the age. */
const ENTRIES = 64;

/**
 * Times are 32-bit numbers of milliseconds that may wrap: they lie in the object itself, where larger ones would lie elsewhere,
 * and every frame writes one. A stream does not get older than a span of them, 24 days.
 *
 * Entries are (highest seq, time it was written). One goes when the next can answer for its frames with at least half of
 * their age; as they grow older that only gets better. So an answer is never too long, and at least about half.
 */
export class WriteTimes {
  readonly #startMs: number;
  #seq: number;
  #ms: number;
  /** When the newest entry began. */
  #sinceMs: number;
  /** Older entries, oldest first: seq, ms, seq, ms … Made when there is a second one. */
  #older: number[] | undefined;

  /** Everything up to `seq` had been written by `nowMs`. */
  constructor(seq: number, nowMs: number) {
    this.#seq = seq;
    this.#startMs = this.#ms = this.#sinceMs = nowMs | 0;
  }

  wrote(seq: number, now: number): void {
    const nowMs = now | 0;
    if (((nowMs - this.#sinceMs) | 0) >= GRAIN_MS) {
      this.#push(nowMs);
      this.#sinceMs = nowMs;
    }
    this.#seq = seq;
    this.#ms = nowMs;
  }

  /** So long ago was the last frame written. */
  sinceLastMs(now: number): number {
    return ((now | 0) - this.#ms) | 0;
  }

  /** At least so long ago was `seq` written, milliseconds. Only for a `seq` that was. */
  agoMs(seq: number, now: number): number {
    const nowMs = now | 0;
    const older = this.#older;
    if (older)
      for (let at = 0; at < older.length; at += 2)
        if (older[at]! >= seq) return Math.max(0, (nowMs - older[at + 1]!) | 0);
    return Math.max(0, (nowMs - this.#ms) | 0);
  }

  #push(nowMs: number): void {
    this.#older ??= [];
    const older = this.#older;
    older.push(this.#seq, this.#ms);
    let kept = 0;
    let beforeMs = this.#startMs;
    for (let at = 0; at < older.length; at += 2) {
      const nextMs = older[at + 3];
      if (nextMs !== undefined && ((nextMs - beforeMs) | 0) <= ((nowMs - nextMs) | 0)) continue;
      beforeMs = older[at + 1]!;
      older[kept] = older[at]!;
      older[kept + 1] = beforeMs;
      kept += 2;
    }
    older.length = kept;
    if (kept > ENTRIES * 2) older.splice(0, 2);
  }
}
