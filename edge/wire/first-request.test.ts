// Connections that do not say what they want are kept in bounds, and stand in nobody's way.
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { FirstRequests } from './first-request.ts';
import { rawRequest } from './raw-http.fixture.ts';

test('in a flood of silent connections the oldest goes, and who says what it wants is heard', async () => {
  const heard: string[] = [];
  const first = new FirstRequests(
    {
      http1: () => heard.push('http1'),
      http2: () => heard.push('http2'),
      subscribe: () => heard.push('subscribe'),
    },
    3,
  );
  const server = net.createServer((socket) => first.add(socket, 0)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const sockets: net.Socket[] = [];
  for (let count = 0; count < 10; count++) {
    const socket = net.connect(port, '127.0.0.1').on('error', () => undefined);
    sockets.push(socket);
    onTestFinished(() => void socket.destroy());
    await once(socket, 'connect');
    await expect.poll(() => first.size).toBe(Math.min(3, count + 1));
  }
  for (const socket of sockets.slice(0, 7)) if (!socket.closed) await once(socket.resume(), 'close');
  expect(sockets.map(({ closed }) => closed)).toEqual(sockets.map((_, at) => at < 7));
  sockets[9]?.write(rawRequest());
  await expect.poll(() => heard).toEqual(['subscribe']);
  expect(first.size).toBe(2);
});
