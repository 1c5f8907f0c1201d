// A server of HTTP/2 on loopback for fakes of providers: as http-server.fixture.ts, and it can refuse unseen and say goodbye.
import {
  constants,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { limits } from '../runtime/limits.ts';
import type { FakeAnswer, FakeRequest, FakeServer, Fault } from './http-server.fixture.ts';

export type H2Reply =
  /** `open`: the rest of the body never comes. */
  | (FakeAnswer & { open?: true })
  | 'hang'
  | 'drop'
  /** RST_STREAM with REFUSED_STREAM: not looked at. */
  | 'refuse'
  /** GOAWAY that names the stream before this one as the last that was looked at; not for the first of a connection. */
  | 'go_away';

export interface H2FakeRequest extends FakeRequest {
  /** 1, 2, …: over which connection since the start. */
  connection: number;
}

export interface H2FakeOptions {
  tls?: { cert: string; key: string };
  /** Streams at once that it allows. */
  streams?: number;
  /** At the begin of each connection. */
  greet?: (session: ServerHttp2Session) => void;
}

export interface H2FakeServer extends FakeServer {
  readonly connections: number;
  /** Those that are open. */
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  readonly pings: number;
}

function write(
  stream: ServerHttp2Stream,
  answer: FakeAnswer & { open?: true },
  fault: Fault | undefined,
): void {
  const { status, headers, body } = answer;
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
  const head = { [constants.HTTP2_HEADER_STATUS]: status, ...headers };
  switch (fault) {
    case 'cut':
      stream.respond(head);
      stream.write(text.slice(0, Math.floor(text.length / 2)) || ' ', () => stream.session?.destroy());
      return;
    case 'garbage':
      stream.respond({ [constants.HTTP2_HEADER_STATUS]: status, 'content-type': 'text/html' });
      stream.end('<!doctype html><p>It works!');
      return;
    case 'huge':
      stream.respond(head);
      stream.end(Buffer.alloc(limits.httpAnswerBytes * 4, 'x'));
      return;
    default:
      stream.respond(head);
      if (answer.open) stream.write(text);
      else stream.end(text);
  }
}

function reply(stream: ServerHttp2Stream, answer: H2Reply, fault: Fault | undefined): void {
  if (stream.destroyed || answer === 'hang' || fault === 'hang') return;
  if (answer === 'drop' || fault === 'drop') stream.session?.destroy();
  else if (answer === 'refuse') stream.close(constants.NGHTTP2_REFUSED_STREAM);
  else if (answer === 'go_away') stream.session?.goaway(constants.NGHTTP2_NO_ERROR, (stream.id ?? 0) - 2);
  else write(stream, answer, fault);
}

async function read(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<FakeRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  const plain = Object.entries(headers).map(([name, value]) => [name, String(value)]);
  return {
    method: String(headers[constants.HTTP2_HEADER_METHOD]),
    url: String(headers[constants.HTTP2_HEADER_PATH]),
    headers: Object.fromEntries(plain),
    body: Buffer.concat(chunks),
  };
}

/** `handle` is the service: it keeps the ledger and answers. */
export async function startH2FakeServer(
  handle: (request: H2FakeRequest) => H2Reply | Promise<H2Reply>,
  { tls, streams, greet }: H2FakeOptions = {},
): Promise<H2FakeServer> {
  const requests: FakeRequest[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Set<Socket>();
  let connections = 0;
  let pings = 0;
  const settings = { ...(streams !== undefined && { maxConcurrentStreams: streams }) };
  const server: Pick<Http2Server, 'on' | 'listen' | 'address' | 'close' | 'listening'> = tls
    ? (createSecureServer({ ...tls, settings }) as unknown as Http2Server)
    : createServer({ settings });

  async function serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, connection: number) {
    const request = await read(stream, headers);
    requests.push(request);
    fake.onRequest?.(request);
    const answer = fake.forced ?? (await handle({ ...request, connection }));
    await fake.gate;
    reply(stream, answer, fake.fault);
  }

  server.on('session', (session: ServerHttp2Session) => {
    const connection = ++connections;
    sessions.add(session);
    session.on('close', () => sessions.delete(session)).on('error', () => {});
    session.on('ping', () => {
      pings += 1;
    });
    greet?.(session);
    session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on('error', () => {});
      void serve(stream, headers, connection).catch(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
    });
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('sessionError', () => {});
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const fake: H2FakeServer = {
    url: tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`,
    requests,
    get connections() {
      return connections;
    },
    sessions,
    get pings() {
      return pings;
    },
    forced: undefined,
    fault: undefined,
    gate: undefined,
    onRequest: undefined,
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      });
    },
  };
  return fake;
}
