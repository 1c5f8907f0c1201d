// Clients that take their time: the port's clock ends them, and what one of them does not read waits nowhere but in the store.
import { once } from 'node:events';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import type { ClientStream } from '../../edge/wire/client-stream.ts';
import { openEdgePort } from '../../edge/wire/edge-port.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import { limits } from '../../runtime/limits.ts';
import { silentLog } from '../../runtime/log.ts';
import { closing, connect, data, greeting, head } from './http2-frames.ts';

const PATH = '/carillon.v1.EdgeService/Subscribe';
const HEAD = `POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/connect+proto\r\n`;
const MESSAGE = Buffer.alloc(5);

async function open() {
  const clock = new ManualClock();
  const streams: ClientStream[] = [];
  const port = await openEdgePort({
    port: 0,
    subscribe: (_request, stream) => streams.push(stream),
    mounts: [],
    clock,
    log: silentLog,
  });
  onTestFinished(() => port.close(0));
  return { clock, streams, port };
}

/** Another connection is served: what was sent before has been read. */
async function served(address: string): Promise<void> {
  expect((await fetch(address)).status).toBe(404);
}

test.each([
  ['nothing', ''],
  ['half a request line', 'POST /car'],
  ['a head without an end', `${HEAD}x-a: b\r\n`],
  ['a body without an end', `${HEAD}content-length: 5\r\n\r\n\0`],
  ['a chunk without an end', `${HEAD}transfer-encoding: chunked\r\n\r\n5\r\n\0`],
])('HTTP/1.1: %s, a byte at a time, is cut', async (_name, said) => {
  const { clock, port } = await open();
  const socket = await connect(port.address);
  const closed = closing(socket.resume());
  socket.write(said);
  for (let passedMs = 0; passedMs <= limits.edgeFirstRequestMs; passedMs += limits.edgeSweepMs) {
    if (said.includes('x-a')) socket.write('y');
    await served(port.address);
    clock.advance(limits.edgeSweepMs);
  }
  await closed;
});

test('HTTP/2: a body without an end is cut, and the connection with its other streams is not', async () => {
  const { clock, streams, port } = await open();
  const socket = await connect(port.address);
  socket.resume();
  const request = {
    method: 'POST',
    path: PATH,
    headers: [['content-type', 'application/connect+proto']],
  } as const;
  socket.write(
    Buffer.concat([
      greeting,
      head(1, request),
      data(1, MESSAGE, true),
      head(3, request),
      data(3, Buffer.alloc(1)),
    ]),
  );
  await expect.poll(() => streams.length).toBe(1);
  clock.advance(limits.edgeFirstRequestMs + limits.edgeSweepMs);
  await served(port.address);
  socket.write(data(3, MESSAGE, true));
  await served(port.address);
  expect(port.openStreams).toBe(1);
  expect(socket.destroyed).toBe(false);
  socket.destroy();
});

async function deafOnHttp1(address: string): Promise<Socket> {
  const socket = await connect(address);
  socket.write(Buffer.concat([Buffer.from(`${HEAD}content-length: 5\r\n\r\n`), MESSAGE]));
  return socket.pause();
}

async function deafOnHttp2(address: string): Promise<Socket> {
  const socket = await connect(address);
  const request = { method: 'POST', path: PATH, headers: [['content-type', 'application/grpc']] } as const;
  socket.write(Buffer.concat([greeting, head(1, request), data(1, MESSAGE, true)]));
  // It reads, and gives no window.
  return socket.resume();
}

test.each([
  ['HTTP/1.1', deafOnHttp1],
  ['HTTP/2', deafOnHttp2],
])('%s: who reads nothing is told apart by what waits, and cut when nothing moves', async (_name, deaf) => {
  const { clock, streams, port } = await open();
  const socket = await deaf(port.address);
  await expect.poll(() => streams.length).toBe(1);
  const [stream] = streams;
  const over = new Promise((resolve) => stream?.onClose(resolve));
  const item = Buffer.alloc(16_384);
  // The kernel's buffers take some; what counts is that the rest is seen.
  for (let count = 0; count < 4_096 && (stream?.bufferedBytes ?? 0) <= limits.streamBufferBytes; count++) {
    stream?.send(item);
    await new Promise(setImmediate);
  }
  expect(stream?.bufferedBytes).toBeGreaterThan(limits.streamBufferBytes);
  for (let passedMs = 0; passedMs < 2 * limits.streamStalledMs; passedMs += limits.edgeSweepMs)
    clock.advance(limits.edgeSweepMs);
  expect(await over).toBe('lost');
  socket.destroy();
});

test('a client without a window can open its bound of streams on a connection, and no more', async () => {
  const { streams, port } = await open();
  const session = http2.connect(port.address, { settings: { initialWindowSize: 0 } });
  onTestFinished(() => session.destroy());
  session.on('error', () => undefined);
  await once(session, 'remoteSettings');
  for (let count = 0; count < limits.connectionStreamsCount + 50; count++) {
    const stream = session.request({
      ':method': 'POST',
      ':path': PATH,
      'content-type': 'application/connect+proto',
    });
    stream.on('error', () => undefined);
    stream.end(MESSAGE);
  }
  await expect.poll(() => streams.length).toBe(limits.connectionStreamsCount);
  await served(port.address);
  expect(streams.length).toBe(limits.connectionStreamsCount);
});
