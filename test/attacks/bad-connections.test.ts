// Connections that no library would make: resets, floods, slowness. The process lives on, in bounded memory, and nobody else notices.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { userHeaders } from '../support/tokens.ts';
import { type AttackedMesh, attacker, startAttackedMesh } from './attacked-mesh.ts';
import { closing, connect, data, greeting, head, reset, written } from './http2-frames.ts';

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
  const { authorization } = await userHeaders('eve');
  const headers = [
    ['content-type', type],
    ['te', 'trailers'],
    ['authorization', authorization],
  ] as const;
  const request = { method, path, headers };
  const socket = await connect(address);
  const closed = closing(socket.resume());
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
          const closed = closing(socket.resume());
          socket.end(
            `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/proto\r\n\r\n`,
            'latin1',
          );
          await closed;
        }
    },
  );
});

describe('many', () => {
  test('a thousand connections that say nothing, or half of something, stand in nobody’s way', async () => {
    const begun = ['', 'P', 'PRI * HTTP/2', `POST ${SUBSCRIBE} HTTP/1.1\r\nhost: x\r\n`, 'GET'];
    const sockets = await Promise.all(
      Array.from({ length: 1_000 }, async (_, at) => {
        const socket = await connect(mesh.addresses[PORTS[at % 3] ?? ''] ?? '');
        socket.write(begun[at % begun.length] ?? '');
        return socket;
      }),
    );
    await mesh.unharmed();
    for (const socket of sockets) socket.destroy();
  });

  test.each(['edge', 'ingest', 'router'])('resets on %s end their connection', async (port) => {
    const socket = await connect(mesh.addresses[port] ?? '');
    const closed = closing(socket.resume());
    const request = {
      method: 'POST',
      path: SUBSCRIBE,
      headers: [['content-type', 'application/grpc']],
    } as const;
    socket.write(greeting);
    for (let id = 1; id < 20_000 && !socket.destroyed; id += 2)
      await written(socket, Buffer.concat([head(id, request), reset(id)]));
    await closed;
  });

  test('headers, in size and in number, are answered 431, or their connection ends', async () => {
    for (const port of ['edge', 'ingest', 'router'])
      for (const flood of [`x: ${'y'.repeat(1 << 20)}`, 'a:b\r\n'.repeat(100_000)]) {
        const socket = await connect(mesh.addresses[port] ?? '');
        const closed = closing(socket);
        const parts: Buffer[] = [];
        socket.on('data', (part: Buffer) => parts.push(part));
        socket.write(`POST ${SUBSCRIBE} HTTP/1.1\r\nhost: x\r\n${flood}\r\n\r\n`);
        await closed;
        const [status = ''] = Buffer.concat(parts).toString('latin1').split('\r\n', 1);
        expect(['', 'HTTP/1.1 431 Request Header Fields Too Large']).toContain(status);
      }
  });

  test('preflights of a client that reads no answer do not pile up', async () => {
    const preflights = Buffer.from(`OPTIONS ${SUBSCRIBE} HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(1_000));
    const before = await mesh.memoryMiB();
    const socket = await connect(mesh.addresses.edge ?? '');
    const closed = closing(socket);
    socket.pause();
    // 64 MiB of questions are 600 MiB of answers.
    for (let count = 0; count < 800 && !socket.destroyed; count++) await written(socket, preflights);
    await closed;
    expect((await mesh.memoryMiB()) - before).toBeLessThan(96);
  });
});

describe('two authorization headers, each of them good, are none', () => {
  const calls = [
    ['edge', '/carillon.v1.EdgeService/ListInbox'],
    ['ingest', '/carillon.v1.AdminService/ListApiKeys'],
    ['router', '/carillon.v1.RouterService/ListEdges'],
  ] as const;

  /** All that comes back, as text. */
  async function answerTo(address: string, bytes: string | Buffer): Promise<string> {
    const socket = await connect(address);
    const parts: Buffer[] = [];
    const said = () => Buffer.concat(parts).toString('latin1');
    socket.on('data', (part: Buffer) => parts.push(part));
    socket.write(bytes);
    await expect.poll(said, { timeout: 8_000 }).toMatch(/unauthenticated|\{"/);
    socket.destroy();
    return said();
  }

  test.each(calls)('%s %s', async (port, path) => {
    const { authorization } = await attacker(port);
    const address = mesh.addresses[port] ?? '';
    const again = authorization.replace('Bearer', 'bearer');
    for (const headers of [[authorization], [authorization, again]]) {
      const lines = headers.map(
        (value, at) => `${at === 0 ? 'authorization' : 'Authorization'}: ${value}\r\n`,
      );
      const http1 = `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${lines.join('')}content-length: 2\r\n\r\n{}`;
      const http2 = Buffer.concat([
        greeting,
        head(1, {
          method: 'POST',
          path,
          headers: [
            ['content-type', 'application/json'],
            ...headers.map((value) => ['authorization', value] as const),
          ],
        }),
        data(1, Buffer.from('{}'), true),
      ]);
      for (const bytes of [http1, http2]) {
        const answer = await answerTo(address, bytes);
        if (headers.length === 1) expect(answer).not.toContain('unauthenticated');
        else expect(answer).toContain('unauthenticated');
      }
    }
  });
});
