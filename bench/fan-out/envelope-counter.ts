// Counts the notifications in a body of Connect or gRPC framing, cut into pieces anywhere.

const ENVELOPE_BYTES = 5;
/** Shorter messages are not notifications but what a stream says of itself: Hello, Watermark. */
const NOTIFICATION_BYTES = 200;

export class EnvelopeCounter {
  #headerLeft = ENVELOPE_BYTES;
  #length = 0;
  #left = 0;
  /** Gets whole messages; only a sample of the streams has one, as copying costs. */
  readonly #onMessage: ((message: Buffer) => void) | undefined;
  #parts: Buffer[] = [];

  constructor(onMessage?: (message: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  /** Returns how many notifications became complete. */
  take(bytes: Buffer, from: number, to: number): number {
    let at = from;
    let complete = 0;
    while (at < to) {
      if (this.#headerLeft > 0) {
        if (this.#headerLeft < ENVELOPE_BYTES) this.#length = (this.#length << 8) | bytes[at]!;
        else if (bytes[at] !== 0) throw new Error(`the stream ended, or is compressed: flags ${bytes[at]}`);
        else this.#length = 0;
        this.#headerLeft -= 1;
        at += 1;
        this.#left = this.#length;
      } else {
        const end = Math.min(to, at + this.#left);
        if (this.#onMessage) this.#parts.push(Buffer.from(bytes.subarray(at, end)));
        this.#left -= end - at;
        at = end;
      }
      if (this.#headerLeft === 0 && this.#left === 0) {
        if (this.#length >= NOTIFICATION_BYTES) complete += 1;
        this.#headerLeft = ENVELOPE_BYTES;
        this.#onMessage?.(Buffer.concat(this.#parts));
        this.#parts = [];
      }
    }
    return complete;
  }
}
