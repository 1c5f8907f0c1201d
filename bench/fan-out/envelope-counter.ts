// Counts the notifications in a body of Connect or gRPC framing, cut into pieces anywhere.
import type { StreamSink } from './client-stream-sink.ts';

const ENVELOPE_BYTES = 5;
/** Shorter messages are not notifications but what a stream says of itself: Hello, Watermark. */
const NOTIFICATION_BYTES = 200;

export class EnvelopeCounter {
  #headerLeft = ENVELOPE_BYTES;
  #length = 0;
  #left = 0;
  #opened = false;
  readonly #sink: StreamSink;
  #parts: Buffer[] = [];

  /** The sink's `onMessage` gets whole messages; only a sample of the streams has one, as copying costs. */
  constructor(sink: StreamSink) {
    this.#sink = sink;
  }

  /** Returns how many notifications became complete. */
  take(bytes: Buffer, from: number, to: number): number {
    let at = from;
    let complete = 0;
    while (at < to) {
      if (this.#headerLeft > 0) {
        if (this.#headerLeft < ENVELOPE_BYTES) this.#length = (this.#length << 8) | bytes[at]!;
        else if (bytes[at] !== 0) throw new Error(`the stream ended: ${bytes.toString('latin1', at, to)}`);
        else this.#length = 0;
        this.#headerLeft -= 1;
        at += 1;
        this.#left = this.#length;
      } else {
        const end = Math.min(to, at + this.#left);
        if (this.#sink.onMessage) this.#parts.push(Buffer.from(bytes.subarray(at, end)));
        this.#left -= end - at;
        at = end;
      }
      if (this.#headerLeft === 0 && this.#left === 0) {
        if (this.#length >= NOTIFICATION_BYTES) complete += 1;
        this.#headerLeft = ENVELOPE_BYTES;
        if (this.#sink.onMessage) {
          this.#sink.onMessage(Buffer.concat(this.#parts));
          this.#parts = [];
        }
        if (!this.#opened) this.#sink.opened();
        this.#opened = true;
      }
    }
    return complete;
  }
}
