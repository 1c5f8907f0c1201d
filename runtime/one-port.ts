// One listener for gRPC, Connect, gRPC-Web and JSON over HTTP/1.1 and 2: the first bytes choose, then each stream's content type.
import http from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import tls from 'node:tls';
import { type Clock, systemClock } from './clock.ts';
import { connectHandler, type RequestHandler } from './connect-handler.ts';
import { CarillonError } from './errors.ts';
import { createHealth, type HealthState } from './health.ts';
import { openHttp2Side } from './http2-side.ts';
import { limits } from './limits.ts';
import type { Log } from './log.ts';
import type { Mount } from './mount.ts';
import { createReflection } from './reflection.ts';

export interface OnePortOptions {
  host: string;
  /** 0 picks a free one. */
  port: number;
  /** Services; health and reflection come with every port. */
  mounts: readonly Mount[];
  /** Bytes of one message, unpacked. */
  maxMessageBytes: number;
  strictJson?: boolean;
  /** PEM. With it, HTTP/2 is chosen by ALPN. */
  tls?: { cert: string; key: string; ca?: string };
  /** HTTP requests that are no method, such as a console's. */
  fallback?: RequestHandler;
  log: Log;
  clock?: Clock;
}

export interface OnePort extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly health: HealthState;
  /** Open ones. */
  readonly connections: number;
  /** Takes no more connections, ends streams, waits up to `graceMs` for calls in flight, cuts the rest. Twice is harmless. */
  close(graceMs: number): Promise<void>;
}

const PREFACE = Buffer.from('PRI');

/** The first bytes of a connection, put back; undefined when it ended or was silent for too long. */
function firstBytes(socket: Socket, clock: Clock): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    let held: Buffer = Buffer.alloc(0);
    const settle = (bytes: Buffer | undefined) => {
      timer[Symbol.dispose]();
      socket.off('readable', look).off('end', none).off('close', none).off('error', none);
      if (bytes) socket.unshift(bytes);
      resolve(bytes);
    };
    const none = () => settle(undefined);
    const look = () => {
      const bytes: Buffer | null = socket.read();
      if (bytes === null) return;
      // Put back now they would be readable at once, and again, for ever.
      held = Buffer.concat([held, bytes]);
      // `P` alone may still become POST or PRI.
      if (held.length >= PREFACE.length || !PREFACE.subarray(0, held.length).equals(held)) settle(held);
    };
    const timer = clock.after(limits.handshakeMs, none);
    socket.on('readable', look).on('end', none).on('close', none).on('error', none);
  });
}

function openHttp1Side(handler: RequestHandler) {
  let draining = false;
  const server = http.createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.connectionIdleMs,
      maxHeaderSize: limits.headerBytes,
      connectionsCheckingInterval: limits.portSweepMs,
    },
    (request, response) => {
      if (draining) response.setHeader('connection', 'close');
      else response.once('close', () => draining && server.closeIdleConnections());
      handler(request, response);
    },
  );
  // A server that never listened enforces none of its time-outs.
  server.emit('listening');
  return {
    take: (socket: Socket) => server.emit('connection', socket),
    drain() {
      draining = true;
      server.close(() => {});
      server.closeIdleConnections();
    },
  };
}

export async function openPort(options: OnePortOptions): Promise<OnePort> {
  const { log, clock = systemClock, maxMessageBytes, strictJson = false, fallback } = options;
  const shutdown = new AbortController();
  const health = createHealth(options.mounts.map(({ desc }) => desc.typeName));
  const served = [...options.mounts, health.mount];
  const mounts = [...served, createReflection(served.map(({ desc }) => desc))];
  const handler = connectHandler({
    mounts,
    maxMessageBytes,
    strictJson,
    shutdown: shutdown.signal,
    log,
    ...(fallback && { fallback }),
  });
  const http1 = openHttp1Side(handler);
  const http2 = openHttp2Side({ mounts, maxMessageBytes, handler, shutdown: shutdown.signal, log, clock });

  const sockets = new Set<Socket>();
  let emptied: (() => void) | undefined;
  async function take(socket: Socket, alpn?: string | false | null): Promise<void> {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      sockets.delete(socket);
      if (sockets.size === 0) emptied?.();
    });
    if (alpn === 'h2') return http2.take(socket);
    const head = await firstBytes(socket, clock);
    if (!head || socket.destroyed) socket.destroy();
    else if (head.subarray(0, PREFACE.length).equals(PREFACE)) http2.take(socket);
    else http1.take(socket);
  }
  const listener = options.tls
    ? tls.createServer(
        {
          ...options.tls,
          ALPNProtocols: ['h2', 'http/1.1'],
          handshakeTimeout: limits.handshakeMs,
          noDelay: true,
        },
        (socket) => void take(socket, socket.alpnProtocol),
      )
    : net.createServer({ noDelay: true }, (socket) => void take(socket));
  listener.maxConnections = limits.portConnectionsCount;
  listener.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(options.port, options.host, () => {
      listener.off('error', reject);
      resolve();
    });
  });

  let closing: Promise<void> | undefined;
  async function close(graceMs: number): Promise<void> {
    health.set(false);
    listener.close();
    shutdown.abort(new CarillonError('SHUTTING_DOWN', undefined, { retryAfterMs: 1_000 }));
    http1.drain();
    http2.drain();
    if (sockets.size > 0) {
      const empty = new Promise<void>((resolve) => {
        emptied = resolve;
      });
      using late = clock.after(graceMs, () => emptied?.());
      void late;
      await empty;
    }
    for (const socket of sockets) socket.destroy();
    http2.end();
  }
  const { address, port } = listener.address() as AddressInfo;
  return {
    host: address,
    port,
    health,
    get connections() {
      return sockets.size;
    },
    close(graceMs) {
      closing ??= close(graceMs);
      return closing;
    },
    [Symbol.asyncDispose]() {
      closing ??= close(0);
      return closing;
    },
  };
}
