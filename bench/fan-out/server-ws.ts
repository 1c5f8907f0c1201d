// ws as its documentation says: one frame to each client, in binary.
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { messagesOf } from './messages.ts';
import { type FanOutServer, listenOnFreePort, refuseDifferent } from './servers.ts';

export async function serveWs(): Promise<FanOutServer> {
  const http = createServer();
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
  let message = Buffer.alloc(300, 'x');
  return {
    port: await listenOnFreePort(http),
    streams: () => sockets.clients.size,
    size: (bytes) => {
      // A frame of this length has a head of 4 bytes.
      message = Buffer.alloc(bytes - 4, 'x');
    },
    send(load) {
      refuseDifferent(load);
      for (const client of sockets.clients)
        for (let count = messagesOf(load); count > 0; count--) client.send(message);
    },
  };
}
