// The edge's one TCP port: Subscribe on our own frame writer whatever the client speaks, every other call on connect-node.
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { ConnectRouter, Interceptor } from '@connectrpc/connect';
import type { SubscribeRequest } from '../../gen/carillon/v1/edge_pb.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import type { Log } from '../../runtime/log.ts';
import type { Mount } from '../../runtime/mount.ts';
import { ownError } from '../../runtime/wire-errors.ts';
import type { SubscribeHandler } from './client-stream.ts';
import { FirstRequests } from './first-request.ts';
import { FlushQueue } from './flush-queue.ts';
import { Http1Rest } from './http1-rest.ts';
import { Http1Stream } from './http1-stream.ts';
import { Http2Port } from './http2-port.ts';
import { Http2Stream } from './http2-stream.ts';
import { otherCalls } from './other-calls.ts';
import type { Protocol } from './protocol.ts';
import { deadlineMs, decodeSubscribe } from './subscribe-request.ts';
import type { StreamOwner, WireStream } from './wire-stream.ts';

export interface EdgePortOptions {
  /** Loopback unless somebody says otherwise. */
  readonly host?: string;
  /** 0: a free one. */
  readonly port: number;
  /** Gets each Subscribe whose request is well-formed and valid. A CarillonError that it throws ends the stream. */
  readonly subscribe: SubscribeHandler;
  /** Throws CarillonError when a rule of the schema is broken. */
  readonly validate?: (request: SubscribeRequest) => void;
  /** The unary methods of EdgeService, health, reflection. */
  readonly routes?: (router: ConnectRouter) => void;
  /** The same as mounts, instead of routes. */
  readonly mounts?: readonly Mount[];
  /** For the calls of `routes`. */
  readonly interceptors?: Interceptor[];
  /** PEM. With it the port speaks TLS only. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  readonly clock?: Clock;
  readonly log: Log;
  /** Closes the port within `limits.edgeCloseMs`. */
  readonly signal?: AbortSignal;
}

export interface ListeningEdgePort extends AsyncDisposable {
  readonly port: number;
  /** `http://host:port`, or https. */
  readonly address: string;
  readonly openStreams: number;
  /** No new connections; what is open goes on. */
  stopAccepting(): void;
  /** Ends all streams with SHUTTING_DOWN, gives calls in flight `graceMs`, then cuts what is left. Any number of times. */
  close(graceMs: number): Promise<void>;
}

class EdgePort implements ListeningEdgePort {
  readonly #options: EdgePortOptions;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #owner: StreamOwner;
  readonly #first: FirstRequests;
  readonly #http1: Http1Rest;
  readonly #http2: Http2Port;
  readonly #stop = new AbortController();
  #closing: Promise<void> | undefined;
  #nextCheckMs = 0;

  constructor(options: EdgePortOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#owner = { clock: this.#clock, queue: new FlushQueue(), streams: new Set(), ended: new Map() };
    const rest = otherCalls({ ...options, signal: this.#stop.signal });
    this.#http1 = new Http1Rest({
      rest,
      subscribe: (socket, protocol, header, body) =>
        this.#serve(new Http1Stream(this.#owner, protocol, socket, true), protocol, header, body),
    });
    this.#http2 = new Http2Port(
      {
        rest,
        log: options.log,
        subscribe: (stream, protocol, { socket, headers }, body) =>
          this.#serve(
            new Http2Stream(this.#owner, protocol, stream, socket),
            protocol,
            (name) => headers[name]?.toString(),
            body,
          ),
      },
      this.#clock.now(),
    );
    this.#first = new FirstRequests({
      http1: (socket) => this.#http1.take(socket),
      http2: (socket) => this.#http2.take(socket),
      subscribe: (socket, protocol, { headers }, body) =>
        this.#serve(
          new Http1Stream(this.#owner, protocol, socket),
          protocol,
          (name) => headers.get(name),
          body,
        ),
    });
    this.#server = options.tls
      ? createTlsServer({
          ...options.tls,
          ALPNProtocols: ['h2', 'http/1.1'],
          handshakeTimeout: limits.handshakeMs,
          noDelay: true,
        })
      : createServer({ noDelay: true });
    const sockets = this.#sockets;
    // One for all sockets, and so without a closure for each.
    const forget = function (this: Socket): void {
      sockets.delete(this);
    };
    this.#server.on(options.tls ? 'secureConnection' : 'connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('close', forget);
      this.#first.add(socket, this.#clock.now());
    });
    this.#server.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy());
    this.#server.maxConnections = limits.edgeConnectionsCount;
  }

  async listen(): Promise<this> {
    const { host = '127.0.0.1', port, signal } = this.#options;
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: 4_096 }, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#server.on('error', (error) => this.#options.log.error({ err: error }, 'the edge port failed'));
    const sweep = this.#clock.every(limits.edgeSweepMs, () => this.#sweep()).unref();
    this.#stop.signal.addEventListener('abort', () => sweep[Symbol.dispose](), { once: true });
    signal?.addEventListener('abort', () => void this.close(limits.edgeCloseMs), { once: true });
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get address(): string {
    const { address, family, port } = this.#server.address() as AddressInfo;
    return `${this.#options.tls ? 'https' : 'http'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  get openStreams(): number {
    return this.#owner.streams.size;
  }

  #sweep(): void {
    const nowMs = this.#clock.now();
    this.#first.sweep(nowMs);
    this.#http2.sweep(nowMs);
    for (const [stream, endedMs] of this.#owner.ended)
      if (nowMs - endedMs >= limits.streamLingerMs) stream.destroy();
    if (nowMs < this.#nextCheckMs) return;
    this.#nextCheckMs = nowMs + limits.streamStalledMs / 8;
    for (const stream of this.#owner.streams) stream.check(nowMs);
  }

  #serve(
    stream: WireStream,
    protocol: Protocol,
    header: (name: string) => string | undefined,
    body: Buffer | undefined,
  ): void {
    try {
      const request = decodeSubscribe(protocol, header, body);
      this.#options.validate?.(request);
      const ms = deadlineMs(protocol, header);
      if (ms !== undefined)
        stream.endAt(this.#clock.after(ms, () => stream.end(new CarillonError('DEADLINE_EXCEEDED'))));
      this.#options.subscribe(request, stream, { get: (name) => header(name) ?? null });
    } catch (error) {
      stream.end(ownError(error, this.#options.log) ?? new CarillonError('INTERNAL'));
    }
  }
  stopAccepting(): void {
    if (this.#server.listening) this.#server.close();
  }

  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    this.stopAccepting();
    this.#first.destroy();
    for (const stream of this.#owner.streams)
      stream.end(new CarillonError('SHUTTING_DOWN', undefined, { retryAfterMs: limits.shutdownRetryMs }));
    this.#http1.stop();
    this.#http2.goAway();
    const grace = new AbortController();
    for (const socket of this.#sockets)
      socket.once('close', () => {
        if (this.#sockets.size === 0) grace.abort();
      });
    if (this.#sockets.size > 0) await this.#clock.sleep(graceMs, grace.signal);
    this.#stop.abort(new CarillonError('SHUTTING_DOWN'));
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0);
  }
}

/** Opens the port and listens. Rejects when the address is taken. */
export function openEdgePort(options: EdgePortOptions): Promise<ListeningEdgePort> {
  return new EdgePort(options).listen();
}
