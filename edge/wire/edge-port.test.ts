// The port's own promises: time limits, bounds of HTTP/2, TLS, and how it closes.
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { expect, onTestFinished, test } from 'vitest';
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import { limits } from '../../runtime/limits.ts';
import { carillonError } from '../../runtime/wire-errors.ts';
import { data, greeting, head } from '../../test/attacks/http2-frames.ts';
import { selfSigned } from '../../test/support/self-signed.ts';
import { kernelHandle } from './kernel-writer.ts';
import { type NumberedFeed, numberedFeed } from './numbered-feed.fixture.ts';
import { RawClient, rawRequest, subscribeBody } from './raw-http.fixture.ts';
import { SUBSCRIBE_PATH } from './subscribe-path.ts';

/** Time passes in the port's sweeps only when the test says so. */
async function slowFeed(clock = new ManualClock()): Promise<{ feed: NumberedFeed; clock: ManualClock }> {
  const feed = await numberedFeed(3, { clock });
  onTestFinished(() => feed[Symbol.asyncDispose]());
  return { feed, clock };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function session(address: string): Promise<ClientHttp2Session> {
  const client = connect(address);
  client.on('error', () => undefined);
  onTestFinished(() => client.destroy());
  await once(client, 'remoteSettings');
  return client;
}

function subscribe(client: ClientHttp2Session, body: Buffer | undefined): ClientHttp2Stream {
  const stream = client.request({
    ':method': 'POST',
    ':path': SUBSCRIBE_PATH,
    'content-type': 'application/connect+proto',
  });
  stream.on('error', () => undefined);
  if (body) stream.end(body);
  return stream;
}

test.each([
  ['silent', ''],
  ['in the middle of the head', rawRequest().subarray(0, 60)],
  ['in the middle of the body', rawRequest({ headers: { 'content-length': '900' } })],
  ['in the middle of the preface', 'PRI * HTTP/2.0\r\n'],
  ['in the middle of a preflight', 'OPTIONS /carillon.v1.EdgeService/Subscribe HTTP/1.1\r\nhost: a\r\n'],
])('a client that is %s is cut off after its time', async (_, bytes) => {
  const { feed, clock } = await slowFeed();
  const client = await RawClient.connect(feed.address);
  client.send(bytes);
  const silent = await RawClient.connect(feed.address);
  silent.send(rawRequest());
  await feed.stream(0);
  clock.advance(limits.edgeFirstRequestMs - limits.edgeSweepMs);
  await turn();
  expect(client.socket.closed).toBe(false);
  clock.advance(2 * limits.edgeSweepMs);
  expect(await client.end()).toBe('');
  // Who has subscribed may be silent for ever.
  expect(feed.port.openStreams).toBe(1);
});

test('a Subscribe over HTTP/2 that does not come to its end is cut off', async () => {
  const { feed, clock } = await slowFeed();
  const client = await session(feed.address);
  const stream = subscribe(client, undefined);
  stream.write(subscribeBody('silent').subarray(0, 3));
  await new Promise((resolve) => client.ping(resolve));
  clock.advance(limits.edgeFirstRequestMs + limits.edgeSweepMs);
  await once(stream, 'close');
  expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
  expect(client.closed).toBe(false);
});

test('a connection over HTTP/2 without calls is closed after a while', async () => {
  const { feed, clock } = await slowFeed();
  const [idle, used] = [await session(feed.address), await session(feed.address)];
  subscribe(used, subscribeBody('silent'));
  await feed.stream(0);
  const closed = once(idle, 'close');
  for (let passedMs = 0; passedMs <= limits.connectionIdleMs; passedMs += 10_000) {
    clock.advance(10_000);
    for (const each of [idle, used]) if (!each.closed) await new Promise((resolve) => each.ping(resolve));
  }
  await closed;
  await new Promise((resolve) => used.ping(resolve));
  expect(used.closed).toBe(false);
});

test('a client that takes nothing for long is lost, one that takes a little is not', async () => {
  const { feed, clock } = await slowFeed();
  const [stuck, slow] = [await RawClient.connect(feed.address), await RawClient.connect(feed.address)];
  for (const [index, client] of [stuck, slow].entries()) {
    client.send(rawRequest());
    const { stream } = await feed.stream(index);
    await client.begun(stream);
    client.socket.pause();
    while (stream.bufferedBytes === 0) {
      for (let n = 0; n < 8; n++) stream.send(Buffer.alloc(30_000));
      await turn();
    }
  }
  clock.advance(limits.streamStalledMs / 4);
  slow.socket.resume();
  const { stream, closed } = feed.opened[1]!;
  while (stream.bufferedBytes > 0) await turn();
  clock.advance(limits.streamStalledMs * 2);
  expect(await feed.opened[0]!.closed).toBe('lost');
  expect(feed.port.openStreams).toBe(1);
  slow.socket.end();
  expect(await closed).toBe('client');
});

test('a stream ends when the time that the client gave it is up', async () => {
  const { feed, clock } = await slowFeed();
  const clients = [
    createConnectTransport({ baseUrl: feed.address, httpVersion: '1.1' }),
    createGrpcTransport({ baseUrl: feed.address }),
  ].map((transport) => createClient(EdgeService, transport));
  for (const [index, client] of clients.entries()) {
    const reading = (async () => {
      for await (const _ of client.subscribe({ deviceId: 'silent' }, { timeoutMs: 20_000 }));
    })();
    await feed.stream(index);
    clock.advance(20_000);
    const error = await reading.then(
      () => undefined,
      (reason: unknown) => ConnectError.from(reason),
    );
    expect([error?.code, carillonError(error).reason]).toEqual([Code.DeadlineExceeded, 'DEADLINE_EXCEEDED']);
  }
});

test.each(['1.1', '2'] as const)(
  'over HTTP/%s a stream that has nothing to say yet begins all the same',
  async (version) => {
    const { feed, clock } = await slowFeed();
    const url = `${feed.address}${SUBSCRIBE_PATH}`;
    const begun =
      version === '2'
        ? once(subscribe(await session(feed.address), subscribeBody('silent')), 'response')
        : fetch(url, {
            method: 'POST',
            headers: { 'content-type': 'application/connect+proto' },
            body: Uint8Array.from(subscribeBody('silent')),
          });
    await feed.stream(0);
    clock.advance(limits.streamStalledMs / 8);
    const answer = await begun;
    expect(answer instanceof Response ? answer.status : answer[0][':status']).toBe(200);
  },
);

test('a connection that stays open after its stream has ended is closed', async () => {
  const { feed, clock } = await slowFeed();
  const client = await RawClient.connect(feed.address);
  client.socket.allowHalfOpen = true;
  client.send(rawRequest({ body: subscribeBody('numbers') }));
  await client.until(({ text }) => text.endsWith('0\r\n\r\n'));
  clock.advance(limits.streamLingerMs + limits.edgeSweepMs);
  // Nobody is there any more to take this.
  while (!client.socket.closed) {
    client.send('more');
    await turn();
  }
});

const frame = (type: number, payload: Buffer) => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  return Buffer.concat([head, payload]);
};

test.each([
  ['PING', frame(6, Buffer.alloc(8))],
  ['SETTINGS', frame(4, Buffer.alloc(0))],
])('a flood of %s closes its connection', async (_, flood) => {
  const { feed } = await slowFeed();
  const client = await RawClient.connect(feed.address);
  client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  client.send(frame(4, Buffer.alloc(0)));
  for (let n = 0; n <= limits.controlFramesCount && !client.socket.closed; n++) {
    client.send(flood);
    if (n % 8 === 0) await turn();
  }
  await client.end();
});

const increment = Buffer.from([0, 0, 0, 1]);
const weight = Buffer.from([0, 0, 0, 0, 16]);

/** Frames that node does not tell anybody about. */
test.each([
  ['WINDOW_UPDATE', frame(8, increment)],
  ['PRIORITY', Buffer.concat([frame(2, weight).subarray(0, 8), Buffer.from([3]), weight])],
  ['an unknown type', frame(99, Buffer.alloc(0))],
])('a flood of %s closes its connection once it is more than its share', async (_, flood) => {
  const { feed, clock } = await slowFeed();
  const client = await RawClient.connect(feed.address);
  client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  client.send(frame(4, Buffer.alloc(0)));
  const megabyte = Buffer.alloc(flood.length * Math.ceil(2 ** 20 / flood.length), flood);
  for (let sent = 0; sent < 32 && !client.socket.closed; sent++) {
    await new Promise((resolve) => client.socket.write(megabyte, resolve));
    clock.advance(limits.edgeSweepMs / 4);
  }
  clock.advance(limits.edgeSweepMs);
  await client.end();
});

test('a client over HTTP/2 that is gone without a word is noticed, one that is only silent stays', async () => {
  const { feed, clock } = await slowFeed();
  const silent = await session(feed.address);
  subscribe(silent, subscribeBody('silent'));
  await feed.stream(0);
  const gone = await RawClient.connect(feed.address);
  gone.send(greeting);
  gone.send(
    head(1, { method: 'POST', path: SUBSCRIBE_PATH, headers: [['content-type', 'application/grpc']] }),
  );
  gone.send(data(1, subscribeBody('silent'), true));
  const { closed } = await feed.stream(1);
  const answered = async () => {
    await new Promise((resolve) => silent.ping(resolve));
  };
  for (let passedMs = 0; passedMs < limits.connectionPingMs + limits.connectionPongMs; passedMs += 1_000) {
    clock.advance(1_000);
    // What is asked of it is answered by its library.
    if (passedMs >= limits.connectionPingMs) await answered();
    await turn();
  }
  expect(await closed).toBe('lost');
  expect(feed.port.openStreams).toBe(1);
});

/** Of the timers that a stopped process missed one comes. */
class JumpingClock extends ManualClock {
  jumpedMs = 0;
  override now(): number {
    return super.now() + this.jumpedMs;
  }
}

test('a process that stood still for a minute accuses nobody', async () => {
  const clock = new JumpingClock();
  const { feed } = await slowFeed(clock);
  const client = await session(feed.address);
  subscribe(client, subscribeBody('silent'));
  await feed.stream(0);
  clock.advance(limits.edgeSweepMs);
  clock.jumpedMs = 60_000;
  clock.advance(2 * limits.edgeSweepMs);
  await new Promise((resolve) => client.ping(resolve));
  expect(feed.port.openStreams).toBe(1);
});

test('a connection over HTTP/2 is told how many streams it may open', async () => {
  const { feed } = await slowFeed();
  const { remoteSettings } = await session(feed.address);
  expect(remoteSettings.maxConcurrentStreams).toBe(limits.connectionStreamsCount);
});

test('what an HTTP/2 client does not take is counted until it takes it', async () => {
  const { feed } = await slowFeed();
  const client = await session(feed.address);
  const stream = subscribe(client, subscribeBody('silent'));
  const { stream: ours } = await feed.stream(0);
  while (ours.bufferedBytes <= limits.streamBufferBytes) {
    ours.send(Buffer.alloc(32_000));
    await turn();
  }
  const drained = new Promise<void>((resolve) => ours.onDrain(resolve));
  stream.resume();
  await drained;
  expect(ours.bufferedBytes).toBe(0);
});

test('over TLS the stock clients get through, by HTTP/1.1 and 2', async () => {
  const tls = selfSigned();
  await using feed = await numberedFeed(3, { tls });
  const baseUrl = `https://localhost:${feed.port.port}`;
  const nodeOptions = { ca: tls.cert };
  for (const transport of [
    createConnectTransport({ baseUrl, httpVersion: '1.1', nodeOptions }),
    createConnectTransport({ baseUrl, httpVersion: '2', nodeOptions }),
    createGrpcTransport({ baseUrl, nodeOptions }),
  ]) {
    const client = createClient(EdgeService, transport);
    const seqs: number[] = [];
    for await (const { frame } of client.subscribe({ deviceId: 'numbers' }))
      if (frame.case === 'deliver') seqs.push(frame.value.seq);
    expect(seqs).toEqual([1, 2, 3]);
    expect((await client.ack({})).acknowledged).toBe(7);
  }
});

test('closing tells every stream that the process goes, and may be done twice', async () => {
  const feed = await numberedFeed(0);
  const clients = [
    createConnectTransport({ baseUrl: feed.address, httpVersion: '1.1' }),
    createConnectTransport({ baseUrl: feed.address, httpVersion: '2' }),
  ].map((transport) => createClient(EdgeService, transport));
  const reading = clients.map(async (client) => {
    try {
      for await (const _ of client.subscribe({ deviceId: 'silent' }));
    } catch (error) {
      return carillonError(error).reason;
    }
    return 'OK';
  });
  await feed.stream(1);
  feed.port.stopAccepting();
  await expect(RawClient.connect(feed.address)).rejects.toThrow('ECONNREFUSED');
  await Promise.all([feed.port.close(5_000), feed.port.close(0)]);
  expect(await Promise.all(reading)).toEqual(['SHUTTING_DOWN', 'SHUTTING_DOWN']);
  expect(await Promise.all(feed.opened.map(({ closed }) => closed))).toEqual(['server', 'server']);
});

test('the signal closes the port', async () => {
  const stop = new AbortController();
  const feed = await numberedFeed(0, { signal: stop.signal });
  const client = await RawClient.connect(feed.address);
  client.send(rawRequest());
  await feed.stream(0);
  stop.abort();
  expect(await client.end()).toContain('SHUTTING_DOWN');
});

test('on this Node the way past its streams is there', async () => {
  await using feed = await numberedFeed(0);
  const client = await RawClient.connect(feed.address);
  expect(kernelHandle(client.socket)).toBeDefined();
  client.socket.destroy();
});
