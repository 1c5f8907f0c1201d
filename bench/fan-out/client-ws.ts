// A client of ws: the handshake, then counting the frames.
import type { Socket } from 'node:net';
import type { Caller, StreamSink } from './client-stream-sink.ts';
import { openWebSocket } from './web-socket.ts';

export function openWs(port: number, _caller: Caller, sink: StreamSink): Socket {
  return openWebSocket(
    port,
    '/',
    sink,
    (_start, length) => {
      sink.bytes(length + 4);
      sink.messages(1);
    },
    () => sink.opened(),
  );
}
