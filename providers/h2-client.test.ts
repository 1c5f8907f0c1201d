// What is known of each request over HTTP/2, whatever becomes of the connection.
import { connect, createServer, type Socket } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { selfSigned } from '../test/support/self-signed.ts';
import { until } from '../test/support/until.ts';
import { H2Client } from './h2-client.ts';
import { type H2FakeServer, type H2Reply, startH2FakeServer } from './h2-server.fixture.ts';
import type { HttpResult } from './http-call.ts';

const calm = () => new AbortController().signal;
const client = (baseUrl: string, clock = systemClock) => new H2Client({ baseUrl, clock, idleMs: 60_000 });
const call = (to: H2Client, signal = calm(), path = '/one') => to.call({ path, body: 'hello', signal });
const kindOf = (result: HttpResult) => ('answer' in result ? result.answer.status : result.outcome.kind);

/** Answers with these, one after the other, the last one for ever. */
const answers =
  (...replies: H2Reply[]) =>
  () =>
    replies.length > 1 ? replies.shift()! : replies[0]!;

/** Resolves once `times` requests have come, and lets them wait until it is let go. */
function gate(times: number, then: (index: number) => H2Reply) {
  const full = Promise.withResolvers<void>();
  const open = Promise.withResolvers<void>();
  let count = 0;
  return {
    full: full.promise,
    open: () => open.resolve(),
    script: async () => {
      const index = count++;
      if (count === times) full.resolve();
      await open.promise;
      return then(index);
    },
  };
}

describe('an HTTP/2 connection', () => {
  it('carries many requests at once, and each gets its answer', async () => {
    await using server = await startH2FakeServer(({ url, body }) => ({
      status: 200,
      headers: { 'x-path': url, 'set-cookie': 'a=1' },
      body: `${body}!`,
    }));
    await using to = client(`${server.url}/base/`);
    const results = await Promise.all(Array.from({ length: 50 }, (_, n) => call(to, calm(), `/${n}`)));
    expect(results.map((result) => 'answer' in result && result.answer.headers['x-path'])).toEqual(
      Array.from({ length: 50 }, (_, n) => `/base/${n}`),
    );
    expect(results[0]).toMatchObject({ answer: { status: 200, whole: true, body: Buffer.from('hello!') } });
    expect(server.connections).toBe(1);
  });

  it('has no more streams than the server allows, and the rest wait for their turn', async () => {
    let now = 0;
    let most = 0;
    await using server = await startH2FakeServer(
      async () => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setImmediate(resolve));
        now -= 1;
        return { status: 200 };
      },
      { streams: 3 },
    );
    await using to = client(server.url);
    const results = await Promise.all(Array.from({ length: 30 }, () => call(to)));
    expect(results.map(kindOf)).toEqual(results.map(() => 200));
    expect(most).toBeLessThanOrEqual(3);
    expect(server.connections).toBe(1);
  });

  it('is not opened twice, and says why when it cannot be', async () => {
    const server = await startH2FakeServer(answers({ status: 200 }));
    await server[Symbol.asyncDispose]();
    await using to = client(server.url);
    const results = await Promise.all([call(to), call(to)]);
    for (const result of results)
      expect(result).toEqual({ outcome: { kind: 'down', reason: 'no connection (ECONNREFUSED)' } });
  });

  it('is not used when nobody vouches for the certificate', async () => {
    await using server = await startH2FakeServer(answers({ status: 200 }), { tls: selfSigned() });
    await using to = client(server.url);
    expect(await call(to)).toMatchObject({ outcome: { kind: 'config' } });
    expect(server.requests).toEqual([]);
  });

  it('is used when somebody does', async () => {
    const tls = selfSigned();
    const usual = getCACertificates('default');
    setDefaultCACertificates([...usual, tls.cert]);
    await using server = await startH2FakeServer(answers({ status: 200 }), { tls });
    await using to = client(server.url);
    const results = await Promise.all([call(to), call(to)]);
    setDefaultCACertificates(usual);
    expect(results.map(kindOf)).toEqual([200, 200]);
    expect(server.connections).toBe(1);
  });

  it('is down when what answers does not speak HTTP/2, or says nothing', async () => {
    const sockets = new Set<Socket>();
    const first = Promise.withResolvers<void>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      if (sockets.size === 1) socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      else first.resolve();
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const { port } = server.address() as { port: number };
    const clock = new ManualClock();
    await using to = client(`http://127.0.0.1:${port}`, clock);
    expect(kindOf(await call(to))).toBe('down');
    const second = call(to);
    await first.promise;
    clock.advance(limits.pushConnectMs);
    expect(await second).toEqual({ outcome: { kind: 'down', reason: 'no connection (CONNECT_TIMEOUT)' } });
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});

describe('a request', () => {
  it('whose connection is cut after it was written may have been taken, and is not made again', async () => {
    await using server = await startH2FakeServer(answers('drop'));
    await using to = client(server.url);
    expect(kindOf(await call(to))).toBe('unknown');
    expect(server.requests).toHaveLength(1);
  });

  it('that is not answered in time may have been taken', async () => {
    await using server = await startH2FakeServer(answers('hang', { status: 200 }));
    await using to = client(server.url);
    const late = new AbortController();
    const result = call(to, late.signal);
    await until('request', () => server.requests[0]);
    late.abort();
    expect(await result).toEqual({ outcome: { kind: 'unknown', reason: 'no answer in time' } });
    expect(kindOf(await call(to))).toBe(200);
    expect(server.connections).toBe(1);
  });

  it('that is too late before it is made is not made', async () => {
    await using server = await startH2FakeServer(answers({ status: 200 }));
    await using to = client(server.url);
    expect(kindOf(await call(to, AbortSignal.abort()))).toBe('down');
    expect(server.connections).toBe(0);
  });

  it('that waits for its turn too long was not made', async () => {
    const held = gate(1, () => ({ status: 200 }));
    await using server = await startH2FakeServer(held.script, { streams: 1 });
    await using to = client(server.url);
    const first = call(to);
    await held.full;
    const late = new AbortController();
    const second = call(to, late.signal);
    late.abort();
    expect(kindOf(await second)).toBe('down');
    held.open();
    expect(kindOf(await first)).toBe(200);
    expect(server.requests).toHaveLength(1);
  });

  it('that the server refused unseen is made once more, and then deferred', async () => {
    await using server = await startH2FakeServer(answers('refuse', { status: 200 }, 'refuse'));
    await using to = client(server.url);
    expect(kindOf(await call(to))).toBe(200);
    expect(server.requests).toHaveLength(2);
    expect(kindOf(await call(to))).toBe('transient');
    expect(server.requests).toHaveLength(4);
  });

  it('gets its status even when the rest of the answer does not come', async () => {
    await using server = await startH2FakeServer(answers({ status: 400, body: '{"reason"', open: true }));
    await using to = client(server.url);
    const late = new AbortController();
    const result = call(to, late.signal);
    await until('request', () => server.requests[0]);
    await waitForHead(server);
    late.abort();
    expect(await result).toMatchObject({ answer: { status: 400, whole: false } });
  });

  it('whose answer is huge has it cut, and the connection goes on', async () => {
    const body = 'x'.repeat(limits.httpAnswerBytes * 3);
    await using server = await startH2FakeServer(answers({ status: 500, body }, { status: 200 }));
    await using to = client(server.url);
    const result = await call(to);
    expect(result).toMatchObject({ answer: { status: 500, whole: false } });
    if ('answer' in result) expect(result.answer.body.length).toBeLessThanOrEqual(limits.httpAnswerBytes);
    expect(kindOf(await call(to))).toBe(200);
    expect(server.connections).toBe(1);
  });
});

/** Until the server's frames have been read by the other side: a ping comes back after them. */
async function waitForHead(server: H2FakeServer): Promise<void> {
  const [session] = server.sessions;
  const pong = Promise.withResolvers<void>();
  session?.ping(() => pong.resolve());
  await pong.promise;
}

describe('a server that says goodbye', () => {
  it('has what it did not look at come over a new connection, and answers the rest', async () => {
    const held = gate(3, (index) => (index === 2 ? 'go_away' : { status: 200, body: String(index) }));
    await using server = await startH2FakeServer(async (request) =>
      request.connection === 1 ? held.script() : { status: 201 },
    );
    await using to = client(server.url);
    const all = [call(to), call(to), call(to)];
    await held.full;
    held.open();
    expect((await Promise.all(all)).map(kindOf)).toEqual([200, 200, 201]);
    expect(server.connections).toBe(2);
    expect(kindOf(await call(to))).toBe(201);
    expect(server.connections).toBe(2);
  });

  it('with an error leaves those in doubt that it may have looked at, and only those', async () => {
    const held = gate(3, () => 'hang');
    await using server = await startH2FakeServer(async (request) =>
      request.connection === 1 ? held.script() : { status: 201 },
    );
    await using to = client(server.url);
    const all = [call(to), call(to), call(to)];
    await held.full;
    for (const session of server.sessions) session.goaway(2, 3);
    expect((await Promise.all(all)).map(kindOf)).toEqual(['unknown', 'unknown', 201]);
  });

  it('at once, each time, is deferred to and not called for ever', async () => {
    await using server = await startH2FakeServer(answers({ status: 200 }), {
      greet: (session) => session.goaway(),
    });
    await using to = client(server.url);
    expect(kindOf(await call(to))).toBe('transient');
    expect(server.connections).toBeLessThanOrEqual(2 * limits.pushConnectsCount);
  });
});

/** A relay that can fall silent without closing anything, as a network does. */
async function startWire(to: number) {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    for (const socket of [near, far]) socket.on('error', () => {});
    sockets.push(near, far);
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    silence() {
      for (const socket of sockets) socket.unpipe();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

describe('an idle connection', () => {
  it('is pinged, and replaced when there is no answer; what was on it is lost', async () => {
    const clock = new ManualClock();
    const held = gate(1, () => 'hang');
    await using server = await startH2FakeServer(held.script);
    await using wire = await startWire(Number(new URL(server.url).port));
    await using to = client(`http://127.0.0.1:${wire.port}`, clock);
    const stuck = call(to);
    await held.full;
    clock.advance(limits.pushPingMs * 2);
    await until('ping', () => server.pings || undefined);
    wire.silence();
    clock.advance(limits.pushPingMs * 2);
    clock.advance(limits.pushPongMs);
    expect(await stuck).toMatchObject({
      outcome: { kind: 'unknown', reason: 'the answer was lost (PING_TIMEOUT)' },
    });
  });

  it('is closed when it has not been used for long, and opened again for the next request', async () => {
    const clock = new ManualClock();
    await using server = await startH2FakeServer(answers({ status: 200 }));
    await using to = client(server.url, clock);
    await call(to);
    clock.advance(60_000 + limits.pushPingMs);
    await until('end of the connection', () => server.sessions.size === 0 || undefined);
    expect(kindOf(await call(to))).toBe(200);
    expect(server.connections).toBe(2);
  });

  it('is gone when the client is closed, and so is what was on it', async () => {
    const held = gate(1, () => 'hang');
    await using server = await startH2FakeServer(held.script);
    const to = client(server.url);
    const stuck = call(to);
    await held.full;
    await to[Symbol.asyncDispose]();
    await to[Symbol.asyncDispose]();
    expect(kindOf(await stuck)).toBe('unknown');
    expect(kindOf(await call(to))).toBe('down');
    await until('end of the connection', () => server.sessions.size === 0 || undefined);
  });
});
