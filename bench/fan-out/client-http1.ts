// A client of Connect streaming over HTTP/1.1 that does what the stock client does on the wire, and nothing else.
import { connect, type Socket } from 'node:net';
import { type Caller, requestOf, type StreamSink, subscribePath } from './client-stream-sink.ts';
import { EnvelopeCounter } from './envelope-counter.ts';

const HEAD_END = '\r\n\r\n';

export function openHttp1(port: number, { token, cursor }: Caller, sink: StreamSink): Socket {
  const counter = new EnvelopeCounter(sink);
  const request = requestOf(cursor);
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  let head = '';
  let open = false;
  // Of the chunk that is being read; -2: its size is next, -1: the line end behind it.
  let left = -2;
  let size = '';
  const lines =
    `POST ${subscribePath} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/connect+proto\r\n` +
    `connect-protocol-version: 1\r\nuser-agent: bench\r\nauthorization: Bearer ${token}\r\ncontent-length: ${request.length}\r\n\r\n`;
  socket.write(Buffer.concat([Buffer.from(lines, 'latin1'), request]));
  socket.on('data', (bytes: Buffer) => {
    let at = 0;
    if (!open) {
      head += bytes.toString('latin1');
      const end = head.indexOf(HEAD_END);
      if (end < 0) return;
      if (!head.startsWith('HTTP/1.1 200')) return sink.failed(head.slice(0, 80));
      at = bytes.length - (head.length - end - HEAD_END.length);
      open = true;
      head = '';
    }
    while (at < bytes.length) {
      if (left === -2) {
        const byte = bytes[at++]!;
        if (byte === 10) {
          left = Number.parseInt(size, 16);
          size = '';
        } else size += String.fromCharCode(byte);
      } else if (left === -1) {
        if (bytes[at++] === 10) left = -2;
      } else {
        const end = Math.min(bytes.length, at + left);
        const messages = counter.take(bytes, at, end);
        if (messages > 0) sink.messages(messages);
        left -= end - at;
        at = end;
        if (left === 0) left = -1;
      }
    }
    sink.bytes(bytes.length);
  });
  socket.on('error', (error) => sink.failed(error.message));
  socket.on('close', () => sink.failed('closed'));
  return socket;
}
