// Collects a request's body, sized or chunked, up to a bound; a byte at a time costs no more than all at once.

type Step = 'size' | 'data' | 'data-end' | 'trailer' | 'done';

/** Longest line of a chunk's size with extensions, and of all trailers together. */
const LINE_BYTES = 1_024;

export type BodyState = 'more' | 'done' | 'too-large' | 'bad';

export class BodyReader {
  readonly #maxBytes: number;
  #kept = Buffer.alloc(0);
  readonly #chunked: boolean;
  #step: Step;
  #left: number;
  #length = 0;
  #line = '';
  #trailerBytes = 0;

  constructor(body: number | 'chunked', maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#chunked = body === 'chunked';
    this.#left = body === 'chunked' ? 0 : body;
    this.#step = this.#chunked ? 'size' : this.#left === 0 ? 'done' : 'data';
  }

  /** Takes the next bytes. After another answer than `more` it must not be called again. */
  take(bytes: Buffer): BodyState {
    if (!this.#chunked && this.#length + this.#left > this.#maxBytes) return 'too-large';
    let at = 0;
    while (at < bytes.length && this.#step !== 'done') {
      if (this.#step === 'data') {
        const end = Math.min(at + this.#left, bytes.length);
        this.#keep(bytes.subarray(at, end));
        at = end;
        if (this.#left === 0) this.#step = this.#chunked ? 'data-end' : 'done';
        continue;
      }
      const newline = bytes.indexOf(10, at);
      const end = newline < 0 ? bytes.length : newline + 1;
      this.#line += bytes.toString('latin1', at, end);
      at = end;
      if (this.#line.length > LINE_BYTES) return 'bad';
      if (newline >= 0 && !this.#takeLine()) return this.#length > this.#maxBytes ? 'too-large' : 'bad';
    }
    if (this.#step !== 'done') return 'more';
    return at === bytes.length ? 'done' : 'bad';
  }

  #keep(bytes: Buffer): void {
    const length = this.#length + bytes.length;
    if (length > this.#kept.length) {
      // A view would hold on to the socket's 64 KiB, and a list of single bytes would weigh a hundred times as much.
      const grown = Buffer.allocUnsafe(Math.max(length, this.#kept.length * 2));
      this.#kept.copy(grown, 0, 0, this.#length);
      this.#kept = grown;
    }
    bytes.copy(this.#kept, this.#length);
    this.#length = length;
    this.#left -= bytes.length;
  }

  #takeLine(): boolean {
    const line = this.#line;
    this.#line = '';
    if (!line.endsWith('\r\n')) return false;
    if (this.#step === 'data-end') {
      this.#step = 'size';
      return line === '\r\n';
    }
    if (this.#step === 'trailer') {
      this.#trailerBytes += line.length;
      if (line === '\r\n') this.#step = 'done';
      return this.#trailerBytes <= LINE_BYTES;
    }
    const size = /^([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n$/.exec(line)?.[1];
    if (size === undefined) return false;
    this.#left = Number.parseInt(size, 16);
    this.#step = this.#left === 0 ? 'trailer' : 'data';
    if (this.#length + this.#left <= this.#maxBytes) return true;
    this.#length = this.#maxBytes + 1;
    return false;
  }

  /** The body, once `take` said `done`. */
  bytes(): Buffer {
    return this.#kept.subarray(0, this.#length);
  }
}
