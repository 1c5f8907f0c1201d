// A server on loopback for fakes of providers: keeps what it is asked, answers as its handler or a test says, or fails as told.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { limits } from '../runtime/limits.ts';

export interface FakeRequest {
  method: string;
  /** Path and query. */
  url: string;
  /** Lower-case names, as they came. */
  headers: Readonly<Record<string, string>>;
  body: Buffer;
}

export interface FakeAnswer {
  status: number;
  headers?: Readonly<Record<string, string>>;
  /** Text as it is; anything else as JSON. */
  body?: unknown;
}

/**
 * What goes wrong after the handler has run. `hang`: no answer. `drop`: the connection is closed instead. `cut`: it is closed in
 * the middle of the answer. `stall`: it stays open there. `garbage`: the answer's status, and a body that is nothing. `huge`: the same, with more than anybody wants.
 */
export type Fault = 'hang' | 'drop' | 'cut' | 'stall' | 'garbage' | 'huge';

export interface FakeServer extends AsyncDisposable {
  readonly url: string;
  /** Everything that arrived whole. */
  readonly requests: readonly FakeRequest[];
  /** Answers so, and does not run the handler. */
  forced: FakeAnswer | undefined;
  fault: Fault | undefined;
  /** Answers wait for it. */
  gate: Promise<void> | undefined;
  /** Called when a request has arrived, before it is answered. */
  onRequest: ((request: FakeRequest) => void) | undefined;
}

async function read(request: IncomingMessage): Promise<FakeRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers))
    headers[name] = Array.isArray(value) ? value.join(', ') : (value ?? '');
  return {
    method: request.method ?? '',
    url: request.url ?? '',
    headers,
    body: Buffer.concat(chunks),
  };
}

function write(
  response: ServerResponse,
  { status, headers, body }: FakeAnswer,
  fault: Fault | undefined,
): void {
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
  switch (fault) {
    case 'cut':
      response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) + 10 });
      response.write(text.slice(0, Math.floor(text.length / 2)), () => response.destroy());
      return;
    case 'stall':
      response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) + 10 });
      response.write(text);
      return;
    case 'garbage':
      response.writeHead(status, { 'content-type': 'text/html' }).end('<!doctype html><p>It works!');
      return;
    case 'huge':
      response.writeHead(status, headers).end(Buffer.alloc(limits.httpAnswerBytes * 4, 'x'));
      return;
    default:
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
  }
}

/** `handle` is the service: it keeps the ledger and answers. */
export async function startFakeServer(
  handle: (request: FakeRequest) => FakeAnswer,
  tls?: { cert: string; key: string },
): Promise<FakeServer> {
  const requests: FakeRequest[] = [];
  const sockets = new Set<Socket>();
  const listener = async (incoming: IncomingMessage, response: ServerResponse) => {
    const request = await read(incoming);
    requests.push(request);
    fake.onRequest?.(request);
    const answer = fake.forced ?? handle(request);
    await fake.gate;
    if (fake.fault === 'drop') response.destroy();
    else if (fake.fault !== 'hang') write(response, answer, fake.fault);
  };
  const safely = (incoming: IncomingMessage, response: ServerResponse) =>
    void listener(incoming, response).catch(() => response.destroy());
  // A client of HTTP/2 gets as far as the certificate too.
  const server = tls
    ? createTlsServer({ ...tls, ALPNProtocols: ['http/1.1', 'h2'] }, safely)
    : createServer(safely);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const fake: FakeServer = {
    url: tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`,
    requests,
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

/** A body of a form. */
export const formOf = (body: Buffer): URLSearchParams => new URLSearchParams(body.toString('utf8'));
