// With a certificate the same port speaks TLS: HTTP/2 and 1.1 by ALPN, gRPC and Connect as without.
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { createClient } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import grpc from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { Health, HealthCheckResponse_ServingStatus as Serving } from '../gen/grpc/health/v1/health_pb.ts';
import { selfSigned } from '../test/support/self-signed.ts';
import { grpcClient } from './grpc-service.ts';
import { silentLog } from './log.ts';
import { openPort } from './one-port.ts';

const certificate = selfSigned();
const open = () =>
  openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [],
    maxMessageBytes: 65_536,
    tls: certificate,
    log: silentLog,
  });

test('all stock clients get through', async () => {
  await using port = await open();
  const baseUrl = `https://localhost:${port.port}`;
  const nodeOptions = { ca: certificate.cert };
  const transports = [
    createConnectTransport({ baseUrl, httpVersion: '1.1', nodeOptions }),
    createConnectTransport({ baseUrl, httpVersion: '2', nodeOptions }),
    createGrpcTransport({ baseUrl, nodeOptions }),
    createGrpcWebTransport({ baseUrl, httpVersion: '1.1', nodeOptions }),
  ];
  for (const transport of transports)
    expect((await createClient(Health, transport).check({})).status).toBe(Serving.SERVING);
  using client = grpcClient(Health, `localhost:${port.port}`, {
    credentials: grpc.credentials.createSsl(Buffer.from(certificate.cert)),
  });
  expect((await client.check({})).status).toBe(Serving.SERVING);
});

test('a client without ALPN speaks HTTP/1.1, one without TLS is cut off', async () => {
  await using port = await open();
  const plain = net.connect(port.port, '127.0.0.1');
  plain.on('error', () => {});
  plain.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  plain.resume();
  await once(plain, 'close');
  const socket = tls.connect({
    port: port.port,
    host: '127.0.0.1',
    ca: certificate.cert,
    servername: 'localhost',
  });
  await once(socket, 'secureConnect');
  expect(socket.alpnProtocol).toBe(false);
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toContain('404');
  socket.destroy();
});
