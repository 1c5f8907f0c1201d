// A client of socket.io over WebSocket: the handshake of Engine.IO 4, then counting the events.
import type { Socket } from 'node:net';
import type { StreamSink } from './client-stream-sink.ts';
import { openWebSocket } from './web-socket.ts';

const CONNECT = '40';
const EVENT = '42';
const PING = '2';
const PONG = '3';

/** A text frame as a client sends it: masked, by zeros. */
function masked(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}

export function openSocketIo(port: number, _user: string, sink: StreamSink): Socket {
  return openWebSocket(port, '/socket.io/?EIO=4&transport=websocket', sink, (text, length, socket) => {
    if (text.startsWith('0')) socket.write(masked(CONNECT));
    else if (text.startsWith(CONNECT)) sink.opened();
    else if (text.startsWith(EVENT)) {
      sink.bytes(length);
      sink.messages(1);
    } else if (text === PING) socket.write(masked(PONG));
  });
}
