// One port for all: what the first bytes say, streams of both kinds on one connection, bounds, going away.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { createClient, type ServiceImpl } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, test } from 'vitest';
import { IngestService, type WatchNotificationResponse } from '../gen/carillon/v1/ingest_pb.ts';
import { Health, HealthCheckResponse_ServingStatus as Serving } from '../gen/grpc/health/v1/health_pb.ts';
import { anybody } from '../test/support/tokens.ts';
import { ManualClock } from './clock.manual.ts';
import { grpcClient } from './grpc-service.ts';
import { limits } from './limits.ts';
import { silentLog } from './log.ts';
import { mount } from './mount.ts';
import { type OnePort, type OnePortOptions, openPort } from './one-port.ts';
import { carillonError } from './wire-errors.ts';

const ID = '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';

/** A watch that answers as fast as it is read; `produced` counts. */
function service() {
  const seen = { produced: 0, ended: 0, entered: 0 };
  const impl: Partial<ServiceImpl<typeof IngestService>> = {
    async *watchNotification({ notificationId }, { signal }) {
      seen.entered++;
      try {
        while (!signal.aborted) {
          seen.produced++;
          yield { status: { notificationId, category: 'x'.repeat(16_384) } };
          // As a handler that reads a store would.
          await new Promise(setImmediate);
        }
      } finally {
        seen.ended++;
      }
      signal.throwIfAborted();
    },
    cancel: (_request, { requestHeader, responseHeader, responseTrailer }) => {
      responseHeader.set('x-echo', requestHeader.get('x-ask') ?? '');
      responseTrailer.set('x-after', 'yes');
      return { cancelled: 7 };
    },
    getNotification() {
      throw new Error('a secret');
    },
  };
  return { seen, ingest: mount(IngestService, impl, { authenticator: anybody }) };
}

async function open(more: Partial<OnePortOptions> = {}) {
  const { seen, ingest } = service();
  const port = await openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [ingest],
    maxMessageBytes: 65_536,
    log: silentLog,
    ...more,
  });
  const url = `http://127.0.0.1:${port.port}`;
  return { port, url, seen, [Symbol.asyncDispose]: () => port[Symbol.asyncDispose]() };
}

const connectTo = async ({ port }: { port: OnePort }): Promise<net.Socket> => {
  const socket = net.connect(port.port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
};

test('one HTTP/2 connection carries gRPC, Connect and gRPC-Web side by side', async () => {
  await using opened = await open();
  const session = http2.connect(opened.url);
  const types = [
    'application/grpc',
    'application/grpc+proto',
    'application/proto',
    'application/json',
    'application/grpc-web+proto',
  ];
  const answers = await Promise.all(
    types.map(async (type) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/carillon.v1.IngestService/Cancel',
        'content-type': type,
        te: 'trailers',
        'x-ask': type,
      });
      const id = Buffer.concat([Buffer.from([0x0a, 36]), Buffer.from(ID)]);
      const json = Buffer.from(JSON.stringify({ notificationId: ID }));
      const framed = Buffer.concat([Buffer.from([0, 0, 0, 0, id.length]), id]);
      stream.end(type.includes('grpc') ? framed : type.endsWith('json') ? json : id);
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
      stream.resume();
      await once(stream, 'close');
      return [headers[':status'], headers['content-type'], headers['x-echo']];
    }),
  );
  session.close();
  expect(answers).toEqual(
    types.map((type) => [200, type === 'application/grpc' ? 'application/grpc+proto' : type, type]),
  );
});

test('health says what it is told, and tells those who watch', async () => {
  await using opened = await open();
  using client = grpcClient(Health, `127.0.0.1:${opened.port.port}`);
  const over = createClient(Health, createConnectTransport({ baseUrl: opened.url, httpVersion: '2' }));
  const abort = new AbortController();
  const states: Serving[] = [];
  const watching = (async () => {
    for await (const { status } of over.watch({}, { signal: abort.signal })) {
      states.push(status);
      if (states.length < 3) opened.port.health.set(states.length === 2);
      else abort.abort();
    }
  })();
  await watching.catch(() => {});
  expect(states).toEqual([Serving.SERVING, Serving.NOT_SERVING, Serving.SERVING]);
  expect((await client.check({ service: 'carillon.v1.IngestService' })).status).toBe(Serving.SERVING);
  const unknown = await client.watch({ service: 'nobody' });
  const [first] = (await once(unknown, 'data')) as [{ status: Serving }];
  expect(first.status).toBe(Serving.SERVICE_UNKNOWN);
  unknown.on('error', () => {});
  unknown.cancel();
});

test.each(['grpc', 'connect', 'grpcweb'])(
  'buf curl learns the schema by reflection over %s',
  async (protocol) => {
    await using opened = await open();
    const run = async (...args: string[]) => {
      const child = spawn('buf', ['curl', '--http2-prior-knowledge', '--protocol', protocol, ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += chunk;
      });
      const [code] = await once(child, 'close');
      expect(code).toBe(0);
      return said;
    };
    expect((await run('--list-services', opened.url)).trim().split('\n').sort()).toEqual([
      'carillon.v1.IngestService',
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
    ]);
    const said = await run(
      '-d',
      JSON.stringify({ notification_id: ID }),
      `${opened.url}/carillon.v1.IngestService/Cancel`,
    );
    expect(JSON.parse(said)).toEqual({ cancelled: 7 });
  },
);

test('headers and trailers of a handler arrive over grpc-js too; what it throws stays inside', async () => {
  await using opened = await open();
  using client = grpcClient(IngestService, `127.0.0.1:${opened.port.port}`);
  let header: string | null = null;
  let trailer: string | null = null;
  const over = createClient(IngestService, createGrpcTransport({ baseUrl: opened.url }));
  await over.cancel(
    { notificationId: ID },
    {
      headers: { 'x-ask': 'me' },
      onHeader: (headers) => {
        header = headers.get('x-echo');
      },
      onTrailer: (trailers) => {
        trailer = trailers.get('x-after');
      },
    },
  );
  expect([header, trailer]).toEqual(['me', 'yes']);
  const error = carillonError(await client.getNotification({ notificationId: ID }).catch((e) => e));
  expect(error).toMatchObject({ reason: 'INTERNAL' });
  expect(error.message).not.toContain('secret');
  const missing = carillonError(
    await client
      .send({
        notification: {
          content: { title: 't' },
          audience: { kind: { case: 'users', value: { ids: ['a'] } } },
        },
      })
      .catch((e) => e),
  );
  expect(missing.reason).toBe('UNSUPPORTED');
});

describe('a stream', () => {
  test.each(['application/grpc', 'application/connect+proto'])(
    'of %s waits for a reader that does not read, and ends when it goes',
    async (type) => {
      await using opened = await open();
      const session = http2.connect(opened.url);
      const stream = session.request({
        ':method': 'POST',
        ':path': '/carillon.v1.IngestService/WatchNotification',
        'content-type': type,
        te: 'trailers',
      });
      stream.on('error', () => {});
      const message = Buffer.concat([Buffer.from([0x0a, 36]), Buffer.from(ID)]);
      stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
      await expect.poll(() => opened.seen.produced).toBeGreaterThan(3);
      let before = -1;
      // It has stopped when a whole poll goes by without another message.
      const still = () => {
        const stands = before === opened.seen.produced;
        before = opened.seen.produced;
        return stands;
      };
      await expect.poll(still, { interval: 300, timeout: 10_000 }).toBe(true);
      expect(opened.seen.produced * 16_384).toBeLessThan(1 << 20);
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await expect.poll(() => opened.seen.ended, { timeout: 10_000 }).toBe(1);
      session.destroy();
    },
  );

  test('ends with SHUTTING_DOWN on both stacks when the port closes', async () => {
    await using opened = await open();
    using client = grpcClient(IngestService, `127.0.0.1:${opened.port.port}`);
    const watch = client.watchNotification({ notificationId: ID });
    const grpcEnd = new Promise((resolve) => watch.once('error', resolve));
    watch.resume();
    const over = createClient(
      IngestService,
      createConnectTransport({ baseUrl: opened.url, httpVersion: '1.1' }),
    );
    const connectEnd = (async () => {
      const got: WatchNotificationResponse[] = [];
      for await (const each of over.watchNotification({ notificationId: ID })) got.push(each);
    })().catch((error: unknown) => error);
    await expect.poll(() => opened.seen.entered).toBe(2);
    const closed = opened.port.close(5_000);
    expect(carillonError(await grpcEnd).reason).toBe('SHUTTING_DOWN');
    expect(carillonError(await connectEnd).reason).toBe('SHUTTING_DOWN');
    await closed;
  });
});

describe('bounds', () => {
  test('one connection opens a hundred streams, not more', async () => {
    await using opened = await open();
    const session = http2.connect(opened.url);
    await once(session, 'remoteSettings');
    expect(session.remoteSettings.maxConcurrentStreams).toBe(limits.connectionStreamsCount);
    session.destroy();
  });

  test('rapid resets close the connection', async () => {
    await using opened = await open();
    const session = http2.connect(opened.url);
    session.on('error', () => {});
    const closed = new Promise((resolve) => session.once('close', resolve));
    const flood = () => {
      for (let index = 0; index < 50 && !session.destroyed; index++) {
        const stream = session.request({
          ':method': 'POST',
          ':path': '/x',
          'content-type': 'application/grpc',
        });
        stream.on('error', () => {});
        stream.close(http2.constants.NGHTTP2_CANCEL);
      }
      if (!session.destroyed) setImmediate(flood);
    };
    flood();
    await closed;
  });

  test('a flood of PINGs closes the connection', async () => {
    await using opened = await open();
    const session = http2.connect(opened.url);
    session.on('error', () => {});
    const closed = new Promise((resolve) => session.once('close', resolve));
    const flood = () => {
      for (let index = 0; index < 5 && !session.destroyed; index++) session.ping(() => {});
      if (!session.destroyed) setImmediate(flood);
    };
    flood();
    await closed;
  });

  test.each(['P', 'PR', 'PRI'])(
    'a client that says %s and no more is let go, and holds up nobody',
    async (said) => {
      const clock = new ManualClock();
      await using opened = await open({ clock });
      const socket = await connectTo(opened);
      const closed = once(socket.resume(), 'close');
      socket.write(said);
      expect((await fetch(opened.url)).status).toBe(404);
      if (said.length < 3) clock.advance(limits.handshakeMs);
      else clock.advance(limits.connectionIdleMs + 2 * limits.portSweepMs);
      await closed;
    },
  );

  test.each(['application/grpc', 'application/proto'])(
    'an %s request that never ends is cut on HTTP/2, too',
    async (type) => {
      const clock = new ManualClock();
      await using opened = await open({ clock });
      const session = http2.connect(opened.url);
      session.on('error', () => {});
      await once(session, 'remoteSettings');
      const stream = session.request({
        ':method': 'POST',
        ':path': '/carillon.v1.IngestService/Cancel',
        'content-type': type,
      });
      const closed = new Promise((resolve) => stream.once('close', resolve));
      stream.on('error', () => {}).resume();
      stream.write(Buffer.from([0, 0]));
      // The server has the stream once it has answered a ping that followed it.
      await new Promise((resolve) => session.ping(resolve));
      clock.advance(limits.requestMs + limits.portSweepMs);
      await closed;
      expect(stream.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
      session.destroy();
    },
  );

  test('who says nothing, or stays idle, is let go', async () => {
    const clock = new ManualClock();
    await using opened = await open({ clock });
    const silent = await connectTo(opened);
    const idle = http2.connect(opened.url);
    idle.on('error', () => {});
    await once(idle, 'remoteSettings');
    const silentClosed = once(silent.resume(), 'close');
    const idleClosed = new Promise((resolve) => idle.once('close', resolve));
    // The server has accepted it once it counts.
    await expect.poll(() => opened.port.connections).toBe(2);
    clock.advance(limits.handshakeMs);
    await silentClosed;
    clock.advance(limits.connectionIdleMs + 2 * limits.portSweepMs);
    await idleClosed;
  });

  test.each([
    [
      'HTTP/1.0 without a host',
      'POST /carillon.v1.IngestService/Cancel HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
      '400',
    ],
    [
      'a host that is none',
      'POST /carillon.v1.IngestService/Cancel HTTP/1.1\r\nhost: a b\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
      '400',
    ],
    ['a head of 20 KiB', `POST / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, '431'],
    [
      'a method that is not there',
      'POST /carillon.v1.IngestService/Nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n',
      '404',
    ],
    ['no HTTP at all', '\u0016\u0003\u0001 nonsense\r\n\r\n', '400'],
    ['half a preface', 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n', undefined],
  ])('%s', async (_name, bytes, status) => {
    await using opened = await open();
    const socket = await connectTo(opened);
    let said = '';
    socket.on('data', (chunk) => {
      said += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.write(bytes);
    if (status === undefined) await once(socket, 'close');
    else await expect.poll(() => said.split(' ')[1]).toBe(status);
    socket.destroy();
    using client = grpcClient(Health, `127.0.0.1:${opened.port.port}`);
    expect((await client.check({})).status).toBe(Serving.SERVING);
  });
});

test('closing waits for nobody who is idle, and may be asked for twice', async () => {
  await using opened = await open();
  const idle = await connectTo(opened);
  idle.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await once(idle, 'data');
  const session = http2.connect(opened.url);
  await once(session, 'remoteSettings');
  await Promise.all([opened.port.close(60_000), opened.port.close(60_000)]);
  expect(opened.port.connections).toBe(0);
});
