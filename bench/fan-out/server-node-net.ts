// The floor: node:net and one buffer for all; it knows just enough HTTP to be heard by the same client, and asks nobody who they are.
import { createServer, type Socket } from 'node:net';
import { BURST_COUNT } from './messages.ts';
import { type FanOutServer, listenOnFreePort, refuseDifferent } from './servers.ts';

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
const burstOf = (chunk: Buffer): Buffer => Buffer.concat(Array(BURST_COUNT).fill(chunk));

/** The response's head, and a message as short as ours say Hello with. */
const opening = Buffer.concat([
  Buffer.from(
    'HTTP/1.1 200 OK\r\ncontent-type: application/connect+proto\r\ntransfer-encoding: chunked\r\n\r\n',
  ),
  chunkOf(85),
]);

export async function serveNodeNet(): Promise<FanOutServer> {
  const sockets = new Set<Socket>();
  let chunk = chunkOf(360);
  let burst = burstOf(chunk);
  const server = createServer({ noDelay: true }, (socket) => {
    socket.once('data', () => {
      socket.write(opening);
      sockets.add(socket);
      socket.resume();
    });
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  return {
    port: await listenOnFreePort(server),
    streams: () => sockets.size,
    size: (bytes) => {
      chunk = chunkOf(bytes);
      burst = burstOf(chunk);
    },
    send(load) {
      refuseDifferent(load);
      for (const socket of sockets) socket.write(load === 'burst' ? burst : chunk);
    },
  };
}
