// A client's stream in a test's hand: it shows the frames it was given and takes bytes only when it is told to.
import { fromBinary } from '@bufbuild/protobuf';
import { type SubscribeResponse, SubscribeResponseSchema } from '../gen/carillon/v1/edge_pb.ts';
import type { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { ClientStream, CloseReason } from './wire/client-stream.ts';

export type Frame = SubscribeResponse['frame'];
type FrameKind = NonNullable<Frame['case']>;
type FrameOf<C extends FrameKind> = Extract<Frame, { case: C }>;

export class FakeStream implements ClientStream {
  readonly remoteAddress: string = '127.0.0.1:1';
  readonly frames: Frame[] = [];
  /** The client reads nothing: whatever is sent stays in the buffer. */
  stuck = false;
  /** Bytes of the last frame's shared part. */
  lastTail: Uint8Array | undefined;
  error: CarillonError | undefined;
  over = false;
  #buffered = 0;
  readonly #drain: (() => void)[] = [];
  #close: ((why: CloseReason) => void) | undefined;
  #waiting: (() => void)[] = [];

  send(head: Uint8Array, tail?: Uint8Array): void {
    if (this.over) return;
    this.lastTail = tail;
    const bytes = Buffer.concat(tail ? [head, tail] : [head]);
    this.frames.push(fromBinary(SubscribeResponseSchema, bytes).frame);
    if (this.stuck) this.#buffered += bytes.length;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  get bufferedBytes(): number {
    return this.#buffered;
  }

  /** The client has stopped reading, and more bytes wait than a stream may hold. */
  fill(): void {
    this.stuck = true;
    this.#buffered = limits.streamBufferBytes + 1;
  }

  /** The client reads everything. */
  drain(): void {
    this.stuck = false;
    this.#buffered = 0;
    for (const listener of this.#drain.splice(0)) listener();
  }

  onDrain(listener: () => void): void {
    this.#drain.push(listener);
  }

  end(error?: CarillonError): void {
    this.error = error;
    this.close('server');
  }

  close(why: CloseReason): void {
    if (this.over) return;
    this.over = true;
    for (const wake of this.#waiting.splice(0)) wake();
    const listener = this.#close;
    if (listener) queueMicrotask(() => listener(why));
  }

  onClose(listener: (why: CloseReason) => void): void {
    this.#close = listener;
  }

  /** Resolves once `condition` holds of the frames; every frame is a chance. */
  async until(condition: (frames: readonly Frame[]) => boolean): Promise<void> {
    while (!condition(this.frames)) {
      if (this.over) throw new Error(`the stream ended first: ${this.error?.message ?? 'no error'}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The frames of one kind. */
  of<C extends FrameKind>(kind: C): FrameOf<C>['value'][] {
    return this.frames
      .filter((frame): frame is FrameOf<FrameKind> => frame.case === kind)
      .map(({ value }) => value as FrameOf<C>['value']);
  }
}
