// A stream on HTTP/2: one DATA write per loop turn, trailers for gRPC, and the reset code that tells why a client left.
import { constants, type Http2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { CarillonError } from '../../runtime/errors.ts';
import type { CloseReason } from './client-stream.ts';
import { corsHeaders } from './cors.ts';
import { type FrameSlot, giveBackSlot, largerSlot, takeSlot } from './frame-slots.ts';
import { peerAddress } from './peer-address.ts';
import { type Protocol, streamEnd } from './protocol.ts';
import { frameBytes, putFrame, type StreamOwner, WireStream } from './wire-stream.ts';

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = constants;

const owner: unique symbol = Symbol('stream');
type OwnedStream = ServerHttp2Stream & { [owner]?: Http2Stream };

function onClose(this: OwnedStream): void {
  this[owner]?.transportClosed();
  this[owner] = undefined;
}
function onDrain(this: OwnedStream): void {
  this[owner]?.transportDrained();
}
/** 'close' follows; a stream without this listener would end the process. */
function onError(): void {}

let headersSecond = 0;
const headersOf = new Map<Protocol, readonly string[]>();

/**
 * Names and values by turns, the same array for all streams of a second: node keeps for each stream what it was given, and
 * of an object a copy of its own, which is 1 KiB.
 */
function responseHeaders(protocol: Protocol, nowMs: number): readonly string[] {
  const second = Math.floor(nowMs / 1_000);
  if (second !== headersSecond) headersOf.clear();
  headersSecond = second;
  let headers = headersOf.get(protocol);
  if (!headers) {
    headers = Object.entries({
      ':status': '200',
      'content-type': protocol.contentType,
      [protocol.acceptHeader]: 'gzip',
      date: new Date(nowMs).toUTCString(),
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      ...corsHeaders,
    }).flat();
    headersOf.set(protocol, headers);
  }
  return headers;
}

export class Http2Stream extends WireStream {
  readonly #stream: OwnedStream;
  /** The stream forgets it when it is closed, and then it is needed. */
  readonly #session: Http2Session | undefined;
  readonly #socket: Socket;
  /** The turn's one message, in memory that node keeps until it is sent; and where several wait. */
  #first: Buffer | undefined;
  #slot: FrameSlot | undefined;
  #handedBytes = 0;
  #trailers: Headers | undefined;

  /** `socket`: what the stream's connection is on. */
  constructor(shared: StreamOwner, protocol: Protocol, stream: ServerHttp2Stream, socket: Socket) {
    super(shared, protocol);
    this.#stream = stream;
    this.#session = stream.session;
    this.#socket = socket;
    this.#stream[owner] = this;
    stream.on('close', onClose).on('drain', onDrain).on('error', onError);
  }

  protected begin(): void {
    this.#respond();
  }

  /** The response's headers go with the first message. False when the stream was reset meanwhile, which `close` will say. */
  #respond(): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return false;
    if (!stream.headersSent)
      stream.respond(responseHeaders(this.protocol, this.owner.clock.now()), {
        waitForTrailers: this.protocol.family === 'grpc',
      });
    return true;
  }

  get remoteAddress(): string {
    return peerAddress(this.#socket);
  }

  protected get unsentBytes(): number {
    return this.#stream.writableLength;
  }

  protected get takenBytes(): number {
    return this.#handedBytes - this.#stream.writableLength;
  }

  transportDrained(): void {
    this.drain();
  }

  transportClosed(): void {
    const { rstCode } = this.#stream;
    // Node gives CANCEL to the streams of a connection that broke, too; then the session is no more.
    const onPurpose =
      (rstCode === NGHTTP2_CANCEL || rstCode === NGHTTP2_NO_ERROR) && this.#session?.destroyed === false;
    this.gone(onPurpose ? 'client' : 'lost');
  }

  destroy(): void {
    this.closed('lost');
    this.#stream.close(NGHTTP2_CANCEL);
  }

  protected hold(head: Uint8Array, tail: Uint8Array | undefined): boolean {
    this.#first = Buffer.allocUnsafe(frameBytes(head, tail));
    putFrame(this.#first, 0, head, tail);
    return false;
  }

  protected append(head: Uint8Array, tail: Uint8Array | undefined): void {
    const at = this.pendingBytes;
    const bytes = at + frameBytes(head, tail);
    let slot = this.#slot;
    if (slot === undefined) {
      slot = takeSlot(bytes);
      slot.bytes.set(this.#first as Buffer);
      this.#first = undefined;
    } else if (bytes > slot.bytes.length) slot = largerSlot(slot, bytes, at);
    this.#slot = slot;
    putFrame(slot.bytes, at, head, tail);
  }

  /** What waits, in memory of its own. */
  #take(): Buffer | undefined {
    const slot = this.#slot;
    const bytes = slot ? Buffer.from(slot.bytes.subarray(0, this.pendingBytes)) : this.#first;
    this.#forget();
    return bytes;
  }

  #forget(): void {
    if (this.#slot) giveBackSlot(this.#slot);
    this.#slot = this.#first = undefined;
  }

  protected write(): void {
    const bytes = this.#take();
    this.pendingBytes = 0;
    if (bytes === undefined || !this.#respond()) return;
    this.#handedBytes += bytes.length;
    this.#stream.write(this.protocol.base64 ? Buffer.from(bytes.toString('base64')) : bytes);
  }

  override closed(why: CloseReason): void {
    this.#forget();
    super.closed(why);
  }

  protected finish(error: CarillonError | undefined): void {
    const { frame, trailers } = streamEnd(this.protocol, error);
    const stream = this.#stream;
    if (!this.#respond()) return;
    if (frame) {
      stream.end(this.protocol.base64 ? Buffer.from(Buffer.from(frame).toString('base64')) : frame);
      return;
    }
    this.#trailers = trailers;
    stream.once('wantTrailers', () => {
      if (stream.destroyed || stream.closed) return;
      stream.sendTrailers(Object.fromEntries(this.#trailers ?? []));
    });
    stream.end();
  }
}
