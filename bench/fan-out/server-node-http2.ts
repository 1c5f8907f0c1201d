// node:http2's core API with one buffer for all, and nothing else but a look at the token.
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { BURST_COUNT } from './messages.ts';
import { type FanOutServer, listenOnFreePort, refuseDifferent } from './servers.ts';
import { bearerOf } from './tokens.ts';

const ENVELOPE_BYTES = 5;
const HELLO_BYTES = 80;

function messageOf(bytes: number): Buffer {
  const message = Buffer.alloc(bytes, 1);
  message[0] = 0;
  message.writeUInt32BE(bytes - ENVELOPE_BYTES, 1);
  return message;
}
const burstOf = (message: Buffer): Buffer => Buffer.concat(Array(BURST_COUNT).fill(message));
const hello = messageOf(HELLO_BYTES);

export async function serveNodeHttp2(): Promise<FanOutServer> {
  const streams = new Set<ServerHttp2Stream>();
  let message = messageOf(350);
  let burst = burstOf(message);
  const open = async (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> => {
    await bearerOf(headers.authorization);
    stream.respond({ ':status': 200, 'content-type': 'application/connect+proto' });
    stream.resume();
    stream.write(hello);
    streams.add(stream);
    stream.on('close', () => streams.delete(stream));
  };
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => undefined);
    open(stream, headers).catch(() => stream.close());
  });
  server.on('sessionError', () => undefined);
  return {
    port: await listenOnFreePort(server),
    streams: () => streams.size,
    size: (bytes) => {
      message = messageOf(bytes);
      burst = burstOf(message);
    },
    send(load) {
      refuseDifferent(load);
      for (const stream of streams) stream.write(load === 'burst' ? burst : message);
    },
  };
}
