// socket.io as its documentation says: WebSocket only, one emit to all, the item as JSON.
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { itemJson } from './item.ts';
import { type FanOutServer, listenOnFreePort } from './servers.ts';

export async function serveSocketIo(): Promise<FanOutServer> {
  const http = createServer();
  const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, pingInterval: 300_000 });
  let seq = 0;
  return {
    port: await listenOnFreePort(http),
    streams: () => io.sockets.sockets.size,
    tick: () => {
      seq += 1;
      io.emit('deliver', { seq, item: itemJson });
    },
  };
}
