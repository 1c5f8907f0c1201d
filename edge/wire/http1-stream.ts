// A stream on a socket of its own: one chunk of HTTP/1.1 and one write per loop turn, with no node:http in between.
import type { Socket } from 'node:net';
import type { CarillonError } from '../../runtime/errors.ts';
import { corsHeaders } from './cors.ts';
import { headerPairs } from './http1-head.ts';
import { type Protocol, streamEnd } from './protocol.ts';
import { type StreamOwner, WireStream } from './wire-stream.ts';
import { scratchFor, writtenFrom } from './write-scratch.ts';

const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const CRLF_BYTES = 2;

// The socket knows its stream, so that all streams share these listeners: a closure per stream and event would cost a kilobyte.
const owner: unique symbol = Symbol('stream');
type OwnedSocket = Socket & { [owner]?: Http1Stream };

function onEnd(this: OwnedSocket): void {
  this[owner]?.closed('client');
  // What is still to be written has nobody who reads it; after our own end the last bytes are on their way and go first.
  if (this.writableEnded) return;
  this.destroy();
}
function onClose(this: OwnedSocket): void {
  this[owner]?.gone('lost');
  this[owner] = undefined;
}
function onDrain(this: OwnedSocket): void {
  this[owner]?.socketDrained();
}
/** 'close' follows; a socket without this listener would end the process. */
function onError(): void {}
/** The request is complete, and the response says `connection: close`: whoever goes on talking is no client. */
function onData(this: OwnedSocket): void {
  if (this[owner]?.over === false) this.destroy();
}

/** Whether a stream lives on this socket. */
export const isStreaming = (socket: Socket): boolean => owner in socket && socket[owner] !== undefined;

function responseHead({ contentType, acceptHeader, family }: Protocol, nowMs: number): string {
  let head = `HTTP/1.1 200 OK\r\ncontent-type: ${contentType}\r\n${acceptHeader}: gzip\r\ndate: ${new Date(nowMs).toUTCString()}\r\n`;
  head +=
    'transfer-encoding: chunked\r\nconnection: close\r\ncache-control: no-store\r\nx-accel-buffering: no\r\n';
  if (family === 'grpc') head += 'trailer: grpc-status, grpc-message, grpc-status-details-bin\r\n';
  for (const name in corsHeaders) head += `${name}: ${corsHeaders[name]}\r\n`;
  return `${head}\r\n`;
}

export class Http1Stream extends WireStream {
  readonly #socket: OwnedSocket;
  /** Header lines of the request; made into `Headers` when asked for, as an idle stream needs none. */
  readonly #lines: string;
  #opening: string | undefined;

  /** `lines`: the header lines of the request. `heldByNode`: node:http reads this socket, and goes on doing so. */
  constructor(
    shared: StreamOwner,
    protocol: Protocol,
    socket: Socket,
    { lines, heldByNode = false }: { lines: string; heldByNode?: boolean },
  ) {
    super(shared, protocol);
    this.#socket = socket;
    this.#lines = lines;
    this.#opening = responseHead(protocol, shared.clock.now());
    this.#socket[owner] = this;
    socket.on('end', onEnd).on('close', onClose).on('drain', onDrain).on('error', onError);
    if (!heldByNode) socket.on('data', onData);
    this.queueFlush();
  }

  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? '';
  }

  get headers(): Headers {
    return new Headers(headerPairs(this.#lines));
  }

  protected get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  socketDrained(): void {
    this.drain();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  protected write(): void {
    const opening = this.#opening;
    if (opening !== undefined) {
      this.#opening = undefined;
      this.#socket.cork();
      this.#socket.write(opening, 'latin1');
    }
    if (this.pendingBytes > 0) {
      if (this.protocol.base64) this.#writeBase64();
      else this.#writeChunk();
    }
    if (opening !== undefined) this.#socket.uncork();
  }

  #writeChunk(): void {
    const socket = this.#socket;
    const size = this.pendingBytes;
    const digits = hexDigits(size);
    const body = digits + CRLF_BYTES;
    const chunk = scratchFor(socket, body + size + CRLF_BYTES);
    for (let at = digits - 1, rest = size; at >= 0; at--, rest >>>= 4) chunk[at] = hexDigit(rest & 15);
    chunk[digits] = 13;
    chunk[digits + 1] = 10;
    this.takeFrames(chunk, body);
    chunk[body + size] = 13;
    chunk[body + size + 1] = 10;
    socket.write(chunk);
    writtenFrom(socket, chunk);
  }

  #writeBase64(): void {
    const frames = Buffer.allocUnsafe(this.pendingBytes);
    this.takeFrames(frames, 0);
    this.#socket.write(chunkOf(Buffer.from(frames.toString('base64'))));
  }

  protected finish(error: CarillonError | undefined): void {
    const { frame, trailers } = streamEnd(this.protocol, error);
    const socket = this.#socket;
    if (frame)
      socket.write(
        chunkOf(this.protocol.base64 ? Buffer.from(Buffer.from(frame).toString('base64')) : frame),
      );
    if (trailers) {
      let text = '0\r\n';
      for (const [name, value] of trailers) text += `${name}: ${value}\r\n`;
      socket.end(`${text}\r\n`, 'latin1');
    } else socket.end(LAST_CHUNK);
  }
}

function chunkOf(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
}

function hexDigits(size: number): number {
  return size === 0 ? 1 : (35 - Math.clz32(size)) >>> 2;
}

function hexDigit(value: number): number {
  return value < 10 ? 48 + value : 87 + value;
}
