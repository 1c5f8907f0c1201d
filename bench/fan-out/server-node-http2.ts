// node:http2's core API with one buffer for all, and nothing else.
import { createServer, type ServerHttp2Stream } from 'node:http2';
import { type FanOutServer, listenOnFreePort } from './servers.ts';

const ENVELOPE_BYTES = 5;

function messageOf(bytes: number): Buffer {
  const message = Buffer.alloc(bytes, 1);
  message[0] = 0;
  message.writeUInt32BE(bytes - ENVELOPE_BYTES, 1);
  return message;
}

export async function serveNodeHttp2(): Promise<FanOutServer> {
  const streams: ServerHttp2Stream[] = [];
  let message = messageOf(350);
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200, 'content-type': 'application/connect+proto' });
    stream.resume();
    streams.push(stream);
  });
  return {
    port: await listenOnFreePort(server),
    streams: () => streams.length,
    size: (bytes) => {
      message = messageOf(bytes);
    },
    tick: () => {
      for (const stream of streams) stream.write(message);
    },
  };
}
