// A stream on a socket of its own: one chunk of HTTP/1.1 and one write per loop turn, with no node:http in between.
import type { Socket } from 'node:net';
import type { CarillonError } from '../../runtime/errors.ts';
import type { CloseReason } from './client-stream.ts';
import { corsHeaders } from './cors.ts';
import { type FrameSlot, giveBackSlot, largerSlot, loseSlot, takeSlot } from './frame-slots.ts';
import { type KernelHandle, kernelHandle, writeToKernel } from './kernel-writer.ts';
import { peerAddress } from './peer-address.ts';
import { type Protocol, streamEnd } from './protocol.ts';
import { frameBytes, putFrame, type StreamOwner, WireStream } from './wire-stream.ts';

const CRLF = Buffer.from('\r\n');
/** Room before a slot's frames for the chunk's size and line end. */
const HEAD_BYTES = 8;
/** What a chunk adds to its frames, at most. */
const CHUNK_BYTES = HEAD_BYTES + 2;

// All streams share these listeners: a closure per stream and event would cost a kilobyte. A property of ours on the socket
// would make it larger than it was made, and so move a part of it to where the cache does not expect it.
const owners = new Map<Socket, Http1Stream>();

function onEnd(this: Socket): void {
  owners.get(this)?.closed('client');
  // What is still to be written has nobody who reads it; after our own end the last bytes are on their way and go first.
  if (this.writableEnded) return;
  this.destroy();
}
function onClose(this: Socket): void {
  owners.get(this)?.gone('lost');
  owners.delete(this);
}
function onDrain(this: Socket): void {
  owners.get(this)?.socketDrained();
}
/** 'close' follows; a socket without this listener would end the process. */
function onError(): void {}
/** The request is complete, and the response says `connection: close`: whoever goes on talking is no client. */
function onData(this: Socket): void {
  if (owners.get(this)?.over === false) this.destroy();
}

/** Whether a stream lives on this socket. */
export const isStreaming = (socket: Socket): boolean => owners.has(socket);

function responseHead({ contentType, acceptHeader, family }: Protocol, nowMs: number): string {
  let head = `HTTP/1.1 200 OK\r\ncontent-type: ${contentType}\r\n${acceptHeader}: gzip\r\ndate: ${new Date(nowMs).toUTCString()}\r\n`;
  head +=
    'transfer-encoding: chunked\r\nconnection: close\r\ncache-control: no-store\r\nx-accel-buffering: no\r\n';
  if (family === 'grpc') head += 'trailer: grpc-status, grpc-message, grpc-status-details-bin\r\n';
  for (const name in corsHeaders) head += `${name}: ${corsHeaders[name]}\r\n`;
  return `${head}\r\n`;
}

export class Http1Stream extends WireStream {
  /** Past node's streams; undefined until the response's head is out, and where that is not possible. */
  #handle: KernelHandle | undefined;
  /** Given by `#handle` and not yet taken; -1: the socket has to be asked, for it may have bytes of its own. */
  #handleBytes = -1;
  /** What waits for the flush. */
  #slot: FrameSlot | undefined;
  /** The response's head is out, and the socket gives its bytes to the kernel at once. */
  #direct = false;
  readonly #socket: Socket;
  /** The response's head goes with the first message: a client that comes back gets one packet. */
  #begun = false;

  /** `heldByNode`: node:http reads this socket, and goes on doing so. */
  constructor(shared: StreamOwner, protocol: Protocol, socket: Socket, heldByNode = false) {
    super(shared, protocol);
    this.#socket = socket;
    owners.set(socket, this);
    socket.on('end', onEnd).on('close', onClose).on('drain', onDrain).on('error', onError);
    if (!heldByNode) socket.on('data', onData);
  }

  get remoteAddress(): string {
    return peerAddress(this.#socket);
  }

  protected get unsentBytes(): number {
    return this.#handleBytes >= 0 ? this.#handleBytes : this.#socketBytes();
  }

  #socketBytes(): number {
    const bytes = this.#socket.writableLength;
    if (bytes === 0 && this.#handle !== undefined) this.#handleBytes = 0;
    return bytes;
  }

  protected get takenBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  /** What `#handle` gave is over. */
  kernelWrote(status: number): void {
    // Since then messages may have gone by the socket, behind these bytes.
    this.#handleBytes = -1;
    if (status < 0) this.#socket.destroy();
    else if (this.unsentBytes === 0) this.drain();
  }

  socketDrained(): void {
    this.drain();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  protected hold(head: Uint8Array, tail: Uint8Array | undefined): boolean {
    const slot = takeSlot(CHUNK_BYTES + frameBytes(head, tail));
    this.#slot = slot;
    putFrame(slot.bytes, HEAD_BYTES, head, tail);
    return this.#direct && this.unsentBytes === 0;
  }

  protected append(head: Uint8Array, tail: Uint8Array | undefined): void {
    let slot = this.#slot as FrameSlot;
    const at = HEAD_BYTES + this.pendingBytes;
    const bytes = at + frameBytes(head, tail) + CRLF.length;
    if (bytes > slot.bytes.length) slot = this.#slot = largerSlot(slot, bytes, at);
    putFrame(slot.bytes, at, head, tail);
  }

  protected write(): void {
    const slot = this.#slot;
    if (slot === undefined) return;
    if (!this.#begun) this.#writeFirst(slot);
    else if (this.#direct && this.unsentBytes === 0) this.#writeSlot(slot);
    else {
      // TLS holds on to what it is given until it is encrypted, and a socket that waits until it has sent the rest.
      this.#write(this.protocol.base64 ? this.#chunk(slot) : Buffer.from(this.#chunk(slot)));
      giveBackSlot(slot);
    }
  }

  #write(bytes: Buffer): void {
    this.#handleBytes = -1;
    this.#socket.write(bytes);
  }

  /** What waits as one chunk; it lies in the slot unless it had to be written as base64. */
  #chunk(slot: FrameSlot): Buffer {
    const { bytes } = slot;
    const to = HEAD_BYTES + this.pendingBytes;
    const from = putChunkHead(bytes, HEAD_BYTES, this.pendingBytes);
    this.#slot = undefined;
    this.pendingBytes = 0;
    if (this.protocol.base64) return Buffer.concat(chunkOf([toBase64(bytes.subarray(HEAD_BYTES, to))]));
    bytes[to] = 13;
    bytes[to + 1] = 10;
    return slot.view(from, to + CRLF.length);
  }

  #writeSlot(slot: FrameSlot): void {
    const chunk = this.#chunk(slot);
    if (this.#handle === undefined) this.#socket.write(chunk);
    else {
      const status = writeToKernel(this.#handle, chunk, this);
      if (status > 0) this.#handleBytes = chunk.length;
      else if (status < 0) this.#socket.destroy();
    }
    if (this.unsentBytes === 0) giveBackSlot(slot);
    else loseSlot(slot);
  }

  /** The response's head, unless it has been said. */
  #head(): Buffer[] {
    if (this.#begun) return [];
    this.#begun = true;
    return [Buffer.from(responseHead(this.protocol, this.owner.clock.now()), 'latin1')];
  }

  protected begin(): void {
    if (!this.#begun && this.pendingBytes === 0) this.#writeFirst();
  }

  /** The head, and with it the message that waits. */
  #writeFirst(slot?: FrameSlot): void {
    this.#write(Buffer.concat([...this.#head(), ...(slot ? [this.#chunk(slot)] : [])]));
    if (slot) giveBackSlot(slot);
    this.#direct = !this.protocol.base64 && !('encrypted' in this.#socket);
    if (this.#direct) this.#handle = kernelHandle(this.#socket);
  }

  override closed(why: CloseReason): void {
    if (this.#slot) giveBackSlot(this.#slot);
    this.#slot = undefined;
    super.closed(why);
  }

  protected finish(error: CarillonError | undefined): void {
    const { frame, trailers } = streamEnd(this.protocol, error);
    const parts: Uint8Array[] = this.#head();
    if (frame) parts.push(...chunkOf([this.protocol.base64 ? toBase64(frame) : frame]));
    let last = '0\r\n';
    for (const [name, value] of trailers ?? []) last += `${name}: ${value}\r\n`;
    parts.push(Buffer.from(`${last}\r\n`, 'latin1'));
    this.#socket.end(Buffer.concat(parts));
  }
}

const toBase64 = (bytes: Uint8Array): Buffer =>
  Buffer.from(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'), 'latin1');

function chunkOf(body: readonly Uint8Array[]): Uint8Array[] {
  const size = body.reduce((sum, { length }) => sum + length, 0);
  return [Buffer.from(`${size.toString(16)}\r\n`), ...body, CRLF];
}

/** Writes the size of a chunk and its line end so that they end at `end`; returns where they begin. */
function putChunkHead(into: Uint8Array, end: number, size: number): number {
  into[end - 1] = 10;
  into[end - 2] = 13;
  let at = end - 2;
  for (let rest = size; rest > 0; rest >>>= 4) {
    const value = rest & 15;
    into[--at] = value < 10 ? 48 + value : 87 + value;
  }
  return at;
}
