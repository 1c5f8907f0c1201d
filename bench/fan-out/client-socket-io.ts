// A client of socket.io over WebSocket: the handshake of Engine.IO 4 with the token, then counting the events.
import type { Socket } from 'node:net';
import type { Caller, StreamSink } from './client-stream-sink.ts';
import { openWebSocket } from './web-socket.ts';

const CONNECT = '40';
const REFUSED = '44';
const EVENT = '42';
const PING = '2';
const PONG = '3';

const LENGTH_16 = 126;

/** A text frame as a client sends it: masked, by zeros. */
function masked(text: string): Buffer {
  const { length } = text;
  const size = length < LENGTH_16 ? [0x80 | length] : [0x80 | LENGTH_16, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([0x81, ...size, 0, 0, 0, 0]), Buffer.from(text)]);
}

export function openSocketIo(port: number, caller: Caller, sink: StreamSink): Socket {
  return openWebSocket(port, '/socket.io/?EIO=4&transport=websocket', sink, (text, length, socket) => {
    if (text.startsWith('0')) socket.write(masked(CONNECT + JSON.stringify(caller)));
    else if (text.startsWith(CONNECT)) sink.opened();
    else if (text.startsWith(REFUSED)) sink.failed('refused');
    else if (text.startsWith(EVENT)) {
      sink.bytes(length);
      sink.messages(1);
    } else if (text === PING) socket.write(masked(PONG));
  });
}
