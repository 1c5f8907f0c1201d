// socket.io as its documentation says: WebSocket only, a middleware that checks the token, one emit to all, the item as JSON.
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { itemJson } from './item.ts';
import { messagesOf } from './messages.ts';
import { type FanOutServer, listenOnFreePort, refuseDifferent } from './servers.ts';
import { userOf } from './tokens.ts';

export async function serveSocketIo(): Promise<FanOutServer> {
  const http = createServer();
  const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, pingInterval: 300_000 });
  io.use((socket, next) => {
    const { token } = socket.handshake.auth;
    userOf(typeof token === 'string' ? token : '').then(
      () => next(),
      (error: Error) => next(error),
    );
  });
  let seq = 0;
  return {
    port: await listenOnFreePort(http),
    streams: () => io.sockets.sockets.size,
    send(load) {
      refuseDifferent(load);
      for (let message = 0; message < messagesOf(load); message++) {
        seq += 1;
        io.emit('deliver', { seq, item: itemJson });
      }
    },
  };
}
