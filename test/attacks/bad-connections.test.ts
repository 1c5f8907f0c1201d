// Connections that no library would make: resets, floods, slowness. The process lives on, in bounded memory, and nobody else notices.
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { type AttackedMesh, startAttackedMesh } from './attacked-mesh.ts';
import { connect, data, greeting, head, reset } from './http2-frames.ts';

let mesh: AttackedMesh;
beforeAll(async () => {
  mesh = await startAttackedMesh();
});
afterAll(() => mesh[Symbol.asyncDispose]());
afterEach(() => mesh.unharmed());

const SUBSCRIBE = '/carillon.v1.EdgeService/Subscribe';
const PATHS = [
  SUBSCRIBE,
  '/carillon.v1.EdgeService/Ack',
  '/carillon.v1.EdgeService/Unheard',
  '/carillon.v1.IngestService/Send',
  '/carillon.v1.IngestService/Publish',
  '/carillon.v1.RouterService/GetPresence',
  '/grpc.health.v1.Health/Watch',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/',
  '//',
];
const TYPES = ['application/connect+proto', 'application/grpc', 'application/grpc-web+proto', 'text/html'];
const EMPTY_MESSAGE = Buffer.alloc(5);
const PORTS = ['edge', 'ingest', 'router', 'ops'];

/** Everything in one write, so that the reset is read together with what it resets. */
async function resetEverywhere(address: string, method: string, path: string, type: string): Promise<void> {
  const headers = [
    ['content-type', type],
    ['te', 'trailers'],
    ['x-carillon-user', 'eve'],
  ] as const;
  const request = { method, path, headers };
  const socket = await connect(address);
  const closed = once(socket.resume(), 'close');
  socket.end(
    Buffer.concat([
      greeting,
      head(1, request),
      reset(1),
      head(3, { ...request, end: true }),
      reset(3),
      head(5, request),
      data(5, EMPTY_MESSAGE, true),
      reset(5),
      head(7, request),
      data(7, EMPTY_MESSAGE),
      reset(7, 2),
      head(9, { ...request, headers: [...headers, ['expect', '100-continue']] }),
      reset(9, 0),
    ]),
  );
  await closed;
}

describe.each(PORTS)('%s', (port) => {
  test.each(['POST', 'GET', 'OPTIONS', 'CONNECT'])(
    'streams of %s reset right after their head',
    async (method) => {
      const address = mesh.addresses[port] ?? '';
      for (const path of PATHS)
        await Promise.all(TYPES.map((type) => resetEverywhere(address, method, path, type)));
    },
  );

  test.each(['//', '//[', 'http://[', 'http://a:99999/', '*', '/%', '?', '/\u00ff'])(
    'the target %s, with hosts that are none',
    async (target) => {
      for (const method of ['GET', 'POST', 'OPTIONS', 'HEAD', 'CONNECT', 'TRACE'])
        for (const host of ['x', '[', 'a b', '\u00ff']) {
          const socket = await connect(mesh.addresses[port] ?? '');
          const closed = once(socket.resume(), 'close');
          socket.end(
            `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/proto\r\n\r\n`,
            'latin1',
          );
          await closed;
        }
    },
  );
});
