// What every transport's stream does alike: holds messages until the turn's flush, counts what waits, tells once that it is over.
import type { Clock, Timer } from '../../runtime/clock.ts';
import type { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import type { ClientStream, CloseReason } from './client-stream.ts';
import type { Flushable, FlushQueue } from './flush-queue.ts';
import { ENVELOPE_BYTES, jsonMessage, type Protocol } from './protocol.ts';

const HIGH_BYTES = limits.streamBufferBytes / 2;

/** What the streams of one port share. */
export interface StreamOwner {
  readonly clock: Clock;
  readonly queue: FlushQueue;
  readonly streams: Set<WireStream>;
  /** Streams that we ended and whose client has not closed yet, with the time of the end. */
  readonly ended: Map<WireStream, number>;
}

/** What no message touches. */
interface Rare {
  closed: ((why: CloseReason) => void) | undefined;
  why: CloseReason | undefined;
  /** More than half of what a stream may hold has been waiting since its buffer was empty. */
  high: boolean;
  drained: (() => void)[] | undefined;
  deadline: Timer | undefined;
  takenBytes: number;
  stalledSinceMs: number;
}

export abstract class WireStream implements ClientStream, Flushable {
  // What `send` and `flush` touch stands first: 10,000 streams do not fit into the processor's caches, so each line counts.
  /** Framed size of what waits for the flush. */
  protected pendingBytes = 0;
  #over = false;
  #queued = false;
  /** More than one message waits for the flush. */
  #several = false;
  /** Several messages came in the turn before: from the first on they wait for the turn's end and go as one write. */
  #bursts = false;
  /** The turn in which a message was written at once; negative when a second one came in it, which waits for its end. */
  #turn = 0;
  protected readonly protocol: Protocol;
  protected readonly owner: StreamOwner;
  #rare: Rare | undefined;

  constructor(owner: StreamOwner, protocol: Protocol) {
    this.owner = owner;
    this.protocol = protocol;
    owner.streams.add(this);
  }

  abstract get remoteAddress(): string;
  /** Bytes that the transport has and the kernel has not. */
  protected abstract get unsentBytes(): number;
  /** Bytes that the kernel has taken since the beginning. */
  protected abstract get takenBytes(): number;
  /**
   * Holds the first message of a turn. True when it may be written at once, for the kernel will take it.
   */
  protected abstract hold(head: Uint8Array, tail: Uint8Array | undefined): boolean;
  /** Holds one more message, behind the `pendingBytes` that wait already. */
  protected abstract append(head: Uint8Array, tail: Uint8Array | undefined): void;
  /** Hands what waits to the transport in one write, and sets `pendingBytes` to 0. */
  protected abstract write(): void;
  /** Says the response's head, unless it went with a message: a proxy takes a silent server for a dead one. */
  protected abstract begin(): void;
  /** Writes the end; what waited went before it. */
  protected abstract finish(error: CarillonError | undefined): void;
  /** Cuts the connection (HTTP/1.1) or the stream (HTTP/2) without a word. */
  abstract destroy(): void;

  get over(): boolean {
    return this.#over;
  }

  get bufferedBytes(): number {
    return this.pendingBytes + this.unsentBytes;
  }

  send(head: Uint8Array, tail?: Uint8Array): void {
    if (this.#over) return;
    if (this.protocol.json) {
      head = jsonMessage(head, tail);
      tail = undefined;
    }
    const size = frameBytes(head, tail);
    if (this.pendingBytes === 0) {
      const direct = this.hold(head, tail) && !this.#queued && !this.#bursts;
      if (direct) {
        const { turn } = this.owner.queue;
        if (this.#turn !== turn) {
          this.#turn = turn;
          this.pendingBytes = size;
          this.write();
          return;
        }
        this.#turn = -turn;
      }
    } else {
      this.#several = true;
      this.append(head, tail);
    }
    this.pendingBytes += size;
    if (!this.#queued) this.queueFlush();
  }

  protected queueFlush(): void {
    this.#queued = true;
    this.owner.queue.add(this);
  }

  flush(): void {
    this.#queued = false;
    if (this.#over) return;
    const waits = this.pendingBytes;
    this.#bursts = this.#turn < 0 || this.#several;
    this.#several = false;
    if (this.#turn < 0) this.#turn = 0;
    this.write();
    const unsent = this.unsentBytes;
    if (waits > HIGH_BYTES || unsent > HIGH_BYTES) this.#rarely().high = true;
    if (unsent === 0) this.drain();
  }

  /** The transport's buffer is empty. */
  protected drain(): void {
    const rare = this.#rare;
    if (!rare?.high || this.pendingBytes > 0) return;
    rare.high = false;
    const listeners = rare.drained;
    rare.drained = undefined;
    for (const listener of listeners ?? []) listener();
  }

  #rarely(): Rare {
    this.#rare ??= {
      closed: undefined,
      why: undefined,
      high: false,
      drained: undefined,
      deadline: undefined,
      takenBytes: 0,
      stalledSinceMs: 0,
    };
    return this.#rare;
  }

  onDrain(listener: () => void): void {
    const rare = this.#rarely();
    rare.drained ??= [];
    rare.drained.push(listener);
  }

  onClose(listener: (why: CloseReason) => void): void {
    const rare = this.#rarely();
    const { why } = rare;
    if (why === undefined) rare.closed = listener;
    else queueMicrotask(() => listener(why));
  }

  end(error?: CarillonError): void {
    if (this.#over) return;
    this.flush();
    if (this.#over) return;
    this.#over = true;
    this.owner.ended.set(this, this.owner.clock.now());
    this.finish(error);
    queueMicrotask(() => this.closed('server'));
  }

  /** Ends the stream by itself when the client's time for it is up. */
  endAt(deadline: Timer): void {
    this.#rarely().deadline = deadline;
  }

  /** The first call tells why; later ones are of no account. */
  closed(why: CloseReason): void {
    const rare = this.#rarely();
    if (rare.why !== undefined) return;
    rare.why = why;
    this.#over = true;
    rare.drained = undefined;
    this.pendingBytes = 0;
    rare.deadline?.[Symbol.dispose]();
    this.owner.streams.delete(this);
    const listener = rare.closed;
    rare.closed = undefined;
    listener?.(why);
  }

  /** The transport is closed. `why` counts only if nothing was known before. */
  gone(why: CloseReason): void {
    this.closed(why);
    this.owner.ended.delete(this);
  }

  /**
   * Called now and then: begins the response of a stream that still waits for its first message, and cuts the stream when
   * nothing of what waits was taken for `limits.streamStalledMs`.
   */
  check(nowMs: number): void {
    if (!this.#over) this.begin();
    const unsent = this.unsentBytes;
    const rare = this.#rarely();
    const taken = unsent === 0 ? 0 : this.takenBytes;
    if (unsent === 0 || taken !== rare.takenBytes || rare.stalledSinceMs === 0) {
      rare.takenBytes = taken;
      rare.stalledSinceMs = unsent === 0 ? 0 : nowMs;
    } else if (nowMs - rare.stalledSinceMs >= limits.streamStalledMs) this.destroy();
  }
}

function putEnvelope(into: Uint8Array, at: number, length: number): void {
  into[at] = 0;
  into[at + 1] = length >>> 24;
  into[at + 2] = length >>> 16;
  into[at + 3] = length >>> 8;
  into[at + 4] = length;
}

/** What a message takes with its envelope. */
export const frameBytes = (head: Uint8Array, tail: Uint8Array | undefined): number =>
  ENVELOPE_BYTES + head.length + (tail === undefined ? 0 : tail.length);

/** Writes a message behind its envelope into `into` from `at` on. */
export function putFrame(into: Uint8Array, at: number, head: Uint8Array, tail: Uint8Array | undefined): void {
  putEnvelope(into, at, head.length + (tail === undefined ? 0 : tail.length));
  into.set(head, at + ENVELOPE_BYTES);
  if (tail !== undefined) into.set(tail, at + ENVELOPE_BYTES + head.length);
}
