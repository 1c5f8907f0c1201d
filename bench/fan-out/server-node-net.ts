// The floor: node:net and one buffer for all; it knows just enough HTTP to be heard by the same client.
import { createServer, type Socket } from 'node:net';
import { type FanOutServer, listenOnFreePort } from './servers.ts';

const HEAD =
  'HTTP/1.1 200 OK\r\ncontent-type: application/connect+proto\r\ntransfer-encoding: chunked\r\n\r\n';
const ENVELOPE_BYTES = 5;

/** One chunk of `bytes` bytes that holds one message. */
function chunkOf(bytes: number): Buffer {
  for (let body = bytes - 4; body > 0; body--) {
    const head = `${body.toString(16)}\r\n`;
    if (head.length + body + 2 !== bytes) continue;
    const chunk = Buffer.alloc(bytes, 1);
    chunk.write(head, 'latin1');
    chunk[head.length] = 0;
    chunk.writeUInt32BE(body - ENVELOPE_BYTES, head.length + 1);
    chunk.write('\r\n', bytes - 2, 'latin1');
    return chunk;
  }
  throw new Error(`no chunk has ${bytes} bytes`);
}

export async function serveNodeNet(): Promise<FanOutServer> {
  const sockets: Socket[] = [];
  let chunk = chunkOf(360);
  const server = createServer({ noDelay: true }, (socket) => {
    socket.once('data', () => {
      socket.write(HEAD);
      sockets.push(socket);
      socket.resume();
    });
    socket.on('error', () => undefined);
  });
  return {
    port: await listenOnFreePort(server),
    streams: () => sockets.length,
    size: (bytes) => {
      chunk = chunkOf(bytes);
    },
    tick: () => {
      for (const socket of sockets) socket.write(chunk);
    },
  };
}
