// The bytes of each frame. `Deliver`, the hot one, is built by hand as a small head that ready-made item bytes follow.
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type GoAwaySchema,
  type HelloSchema,
  type ReauthenticateSchema,
  SubscribeResponseSchema,
  type UpdateSchema,
  type WatermarkSchema,
} from '../gen/carillon/v1/edge_pb.ts';
import { varintBytes, writeVarint } from '../runtime/varint.ts';
import { CURSOR_CHARS, type Cursor, CursorWriter, formatCursor } from './cursor.ts';

const frame = (init: MessageInitShape<typeof SubscribeResponseSchema>['frame']): Uint8Array =>
  toBinary(SubscribeResponseSchema, create(SubscribeResponseSchema, { frame: init }));

export const durationOf = (ms: number): { seconds: bigint; nanos: number } => ({
  seconds: BigInt(Math.floor(ms / 1_000)),
  nanos: (Math.floor(ms) % 1_000) * 1_000_000,
});

export const helloFrame = (value: MessageInitShape<typeof HelloSchema>): Uint8Array =>
  frame({ case: 'hello', value });
export const updateFrame = (value: MessageInitShape<typeof UpdateSchema>): Uint8Array =>
  frame({ case: 'update', value });
export const watermarkFrame = (value: MessageInitShape<typeof WatermarkSchema>): Uint8Array =>
  frame({ case: 'watermark', value });
export const goAwayFrame = (value: MessageInitShape<typeof GoAwaySchema>): Uint8Array =>
  frame({ case: 'goAway', value });
export const reauthenticateFrame = (value: MessageInitShape<typeof ReauthenticateSchema>): Uint8Array =>
  frame({ case: 'reauthenticate', value });

/** The longest head: lengths and seq of 5 bytes, cursor, traceparent. */
const SCRATCH_BYTES = 128;

/** Everything that is said about positions of one store. */
export class FrameWriter {
  readonly epoch: string;
  readonly #cursors: CursorWriter;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  /** Views of the scratch by length: heads have few lengths. */
  readonly #views: Buffer[] = [];

  constructor(epoch: string) {
    this.epoch = epoch;
    this.#cursors = new CursorWriter(epoch);
  }

  cursor(seq: number, timeMs: number): string {
    const cursor: Cursor = { epoch: this.epoch, seq, timeMs };
    return formatCursor(cursor);
  }

  #scratchOf(length: number): Buffer {
    this.#views[length] ??= this.#scratch.subarray(0, length);
    return this.#views[length];
  }

  /**
   * `SubscribeResponse{deliver{seq, cursor, …}}` up to where `tailBytes` bytes of further fields of `Deliver` follow:
   * the item, and the traceparent unless it is given here. The bytes are good until the next call: `ClientStream.send`
   * copies them, so that a broadcast makes no garbage.
   */
  deliverHead(seq: number, timeMs: number, tailBytes: number, traceparent?: string): Uint8Array {
    const traceBytes = traceparent === undefined ? 0 : 2 + traceparent.length;
    const ownBytes = 1 + varintBytes(seq) + 2 + CURSOR_CHARS + traceBytes;
    const length = ownBytes + tailBytes;
    const head = this.#scratchOf(1 + varintBytes(length) + ownBytes);
    head[0] = 0x12;
    let at = writeVarint(head, 1, length);
    head[at] = 0x08;
    at = writeVarint(head, at + 1, seq);
    head[at] = 0x12;
    head[at + 1] = CURSOR_CHARS;
    this.#cursors.write(head, at + 2, seq, timeMs);
    if (traceparent !== undefined) {
      at += 2 + CURSOR_CHARS;
      head[at] = 0x22;
      head[at + 1] = traceparent.length;
      head.write(traceparent, at + 2, 'latin1');
    }
    return head;
  }
}
