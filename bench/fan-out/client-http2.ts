// The same over HTTP/2 with prior knowledge: one connection a stream, frames read by hand so that the client is not what is measured.
import { connect, type Socket } from 'node:net';
import { type Caller, requestOf, type StreamSink, subscribePath } from './client-stream-sink.ts';
import { EnvelopeCounter } from './envelope-counter.ts';

const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const ACK = 1;
const END_STREAM = 1;
const END_HEADERS = 4;
const WINDOW_BYTES = 2 ** 31 - 1;
const DEFAULT_WINDOW_BYTES = 65_535;
const FRAME_HEAD_BYTES = 9;

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header field as a literal without indexing and without Huffman: both sides of HPACK stay trivial. */
function field(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

/** Behind its length, which is an integer with a prefix of 7 bits (RFC 7541, 5.1). */
function text(value: string): Buffer {
  const most = 127;
  const length: number[] = [Math.min(value.length, most)];
  if (value.length >= most) {
    let rest = value.length - most;
    for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), Buffer.from(value, 'latin1')]);
}

function opening(port: number, { token, cursor }: Caller): Buffer {
  const settings = Buffer.from([0, 4, 0, 0, 0, 0]);
  settings.writeUInt32BE(WINDOW_BYTES, 2);
  const window = Buffer.alloc(4);
  window.writeUInt32BE(WINDOW_BYTES - DEFAULT_WINDOW_BYTES);
  const headers = [
    field(':method', 'POST'),
    field(':scheme', 'http'),
    field(':path', subscribePath),
    field(':authority', `127.0.0.1:${port}`),
    field('content-type', 'application/connect+proto'),
    field('connect-protocol-version', '1'),
    field('user-agent', 'bench'),
    field('authorization', `Bearer ${token}`),
  ];
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    frame(SETTINGS, 0, 0, settings),
    frame(8, 0, 0, window),
    frame(HEADERS, END_HEADERS, 1, Buffer.concat(headers)),
    frame(DATA, END_STREAM, 1, requestOf(cursor)),
  ]);
}

export function openHttp2(port: number, caller: Caller, sink: StreamSink): Socket {
  const counter = new EnvelopeCounter(sink);
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  let rest: Buffer | undefined;
  socket.write(opening(port, caller));
  const onFrame = (type: number, flags: number, bytes: Buffer, from: number, to: number): void => {
    if (type === DATA) {
      const messages = counter.take(bytes, from, to);
      sink.bytes(to - from);
      if (messages > 0) sink.messages(messages);
    } else if (type === SETTINGS && (flags & ACK) === 0)
      socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
    else if (type === PING && (flags & ACK) === 0)
      socket.write(frame(PING, ACK, 0, bytes.subarray(from, to)));
    else if (type === RST_STREAM || type === GOAWAY) sink.failed(`frame ${type}`);
  };
  socket.on('data', (data: Buffer) => {
    const bytes = rest ? Buffer.concat([rest, data]) : data;
    let at = 0;
    while (bytes.length - at >= FRAME_HEAD_BYTES) {
      const end = at + FRAME_HEAD_BYTES + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      onFrame(bytes[at + 3]!, bytes[at + 4]!, bytes, at + FRAME_HEAD_BYTES, end);
      at = end;
    }
    rest = at < bytes.length ? Buffer.from(bytes.subarray(at)) : undefined;
  });
  socket.on('error', (error) => sink.failed(error.message));
  socket.on('close', () => sink.failed('closed'));
  return socket;
}
