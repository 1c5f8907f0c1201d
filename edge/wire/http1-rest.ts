// HTTP/1.1 connections that did not begin with Subscribe: node:http reads them, and a Subscribe among their calls still becomes ours.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { joinAuthorization } from '../../runtime/bearer.ts';
import { limits } from '../../runtime/limits.ts';
import { isStreaming } from './http1-stream.ts';
import type { NodeHandler } from './other-calls.ts';
import { contentTypes, type Protocol, protocolOf } from './protocol.ts';
import { SUBSCRIBE_PATH } from './subscribe-path.ts';
import { bodyBytes } from './subscribe-request.ts';

const SECONDS_MS = 1_000;

export interface Http1RestOptions {
  readonly rest: NodeHandler;
  readonly subscribe: (
    socket: Socket,
    protocol: Protocol,
    header: (name: string) => string | undefined,
    body: Buffer | undefined,
  ) => void;
}

function readBody(request: IncomingMessage, then: (body: Buffer | undefined) => void): void {
  const parts: Buffer[] = [];
  let length = 0;
  const onData = (part: Buffer) => {
    length += part.length;
    parts.push(part);
    if (length > bodyBytes) done(undefined);
  };
  const onEnd = () => done(Buffer.concat(parts));
  const done = (body: Buffer | undefined) => {
    request.off('data', onData).off('end', onEnd);
    request.resume();
    then(body);
  };
  request.on('data', onData).on('end', onEnd);
}

export class Http1Rest {
  readonly #options: Http1RestOptions;
  readonly #server: Server;

  constructor(options: Http1RestOptions) {
    this.#options = options;
    this.#server = createServer({
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.connectionIdleMs,
      connectionsCheckingInterval: 2 * SECONDS_MS,
    });
    this.#server.maxHeadersCount = 100;
    this.#server.on('request', this.#onRequest);
    // It never listens; without this event it would not look for slow requests.
    this.#server.emit('listening');
  }

  /** Takes a socket with its bytes put back. */
  take(socket: Socket): void {
    this.#server.emit('connection', socket);
    socket.resume();
  }

  readonly #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request;
    const path = request.url?.split('?', 1)[0];
    const protocol = protocolOf(request.headers['content-type']);
    // The stream's answer has no end that another could follow.
    if (isStreaming(socket)) socket.destroy();
    else if (path !== SUBSCRIBE_PATH || request.method === 'OPTIONS') this.#options.rest(request, response);
    // The answer comes in chunks, which HTTP/1.0 does not know; other numbers are mistakes.
    else if (request.httpVersion !== '1.1') response.writeHead(505, { connection: 'close' }).end();
    else if (request.method !== 'POST') response.writeHead(405, { allow: 'POST' }).end();
    else if (!protocol) response.writeHead(415, { 'accept-post': contentTypes.join(', ') }).end();
    else readBody(request, (body) => this.#subscribe(request, protocol, body));
  };

  #subscribe(request: IncomingMessage, protocol: Protocol, body: Buffer | undefined): void {
    joinAuthorization(request.headers, request.rawHeaders);
    const header = (name: string) => {
      const value = request.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    };
    if (request.socket.destroyed) return;
    this.#options.subscribe(request.socket, protocol, header, body);
  }

  /** Connections between two calls are ended; the others when their call is answered. */
  stop(): void {
    this.#server.close();
    this.#server.closeIdleConnections();
  }
}
