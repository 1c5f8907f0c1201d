// The HTTP/2 half of a port: one server whose streams go to grpc-js or to Connect by content type, with bounds on each connection.
import http2, { type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import grpc from '@grpc/grpc-js';
import { joinAuthorization } from './bearer.ts';
import type { Clock } from './clock.ts';
import type { RequestHandler } from './connect-handler.ts';
import { addGrpcMount } from './grpc-mount.ts';
import { explain } from './grpc-reasons.ts';
import { limits } from './limits.ts';
import type { Log } from './log.ts';
import type { Mount } from './mount.ts';

export interface Http2SideOptions {
  mounts: readonly Mount[];
  maxMessageBytes: number;
  /** Serves what is not gRPC. */
  handler: RequestHandler;
  shutdown: AbortSignal;
  log: Log;
  clock: Clock;
}

export interface Http2Side {
  take(socket: Socket): void;
  /** Tells every connection to go away once its calls are done. */
  drain(): void;
  /** After all connections are gone. */
  end(): void;
}

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;

/** `application/grpc`, `application/grpc+proto` …, but not `application/grpc-web`. */
const isGrpc = (type: string | undefined): boolean =>
  type?.startsWith('application/grpc') === true &&
  (type.length === 16 || type[16] === '+' || type[16] === ';');

/**
 * grpc-js's own HTTP/2 server, which takes streams and sessions from ours: its connection injector is the public way,
 * but it has no place for the bounds below. One listener each is what this was built against.
 */
function grpcSide({ mounts, maxMessageBytes, shutdown, log }: Http2SideOptions): http2.Http2Server {
  const server = new grpc.Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.enable_channelz': 0,
  });
  for (const each of mounts) addGrpcMount(server, each, { shutdown, log });
  server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const { http2Servers } = server as unknown as { http2Servers?: Map<http2.Http2Server, unknown> };
  const inner = [...(http2Servers?.keys() ?? [])][0];
  if (inner?.listenerCount('stream') !== 1 || inner.listenerCount('session') !== 1)
    throw new Error('grpc-js is built differently than one-port knows: its HTTP/2 server was not found');
  return inner;
}

interface Connection {
  openStreams: number;
  idleSinceMs: number;
  controlFrames: number;
  /** A ping has had no answer yet. */
  pinged: boolean;
}

/** A peer that is gone without a word leaves its streams open for ever; one that does not answer a ping within a sweep is cut. */
function probe(session: ServerHttp2Session, connection: Connection): void {
  if (session.destroyed || session.closed) return;
  if (connection.pinged) {
    session.destroy();
    return;
  }
  connection.pinged = session.ping((error) => {
    if (!error) connection.pinged = false;
  });
}

export function openHttp2Side(options: Http2SideOptions): Http2Side {
  const { handler, clock } = options;
  const inner = grpcSide(options);
  const other = http2.createServer(handler);
  const connections = new Map<ServerHttp2Session, Connection>();
  /** Streams whose request is not complete, with when it has to be: as on HTTP/1.1. Streams of requests may take for ever. */
  const reading = new Map<ServerHttp2Stream, number>();
  const endless = new Set(
    options.mounts.flatMap(({ desc }) =>
      desc.methods
        .filter(({ methodKind }) => methodKind === 'bidi_streaming')
        .map(({ name }) => `/${desc.typeName}/${name}`),
    ),
  );
  const outer = http2.createServer({
    settings: {
      maxConcurrentStreams: limits.connectionStreamsCount,
      initialWindowSize: limits.streamWindowBytes,
      maxHeaderListSize: limits.headerBytes,
    },
    streamResetBurst: limits.streamResetBurstCount,
    streamResetRate: limits.streamResetsPerSecond,
    maxSessionInvalidFrames: limits.streamResetBurstCount,
  });
  outer.on('sessionError', () => {});

  outer.on('session', (session) => {
    const connection: Connection = {
      openStreams: 0,
      idleSinceMs: clock.monotonic(),
      controlFrames: 0,
      pinged: false,
    };
    connections.set(session, connection);
    session.setLocalWindowSize(limits.connectionWindowBytes);
    const control = () => {
      if (++connection.controlFrames > limits.controlFramesCount)
        session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM);
    };
    session.on('ping', control);
    session.on('remoteSettings', control);
    session.on('error', () => {});
    session.once('close', () => connections.delete(session));
    inner.emit('session', session);
  });

  outer.on(
    'stream',
    (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[]) => {
      const connection = stream.session && connections.get(stream.session as ServerHttp2Session);
      if (connection) {
        connection.openStreams++;
        stream.once('close', () => {
          connection.openStreams--;
          connection.idleSinceMs = clock.monotonic();
        });
      }
      stream.on('error', () => {});
      // Reset in the frame after its head: to answer it throws, in grpc-js too, and that would end the process.
      if (stream.destroyed || stream.closed) return;
      if (!stream.endAfterHeaders && !endless.has(headers[':path'] ?? '')) {
        reading.set(stream, clock.monotonic() + limits.requestMs);
        stream.once('end', () => reading.delete(stream)).once('close', () => reading.delete(stream));
      }
      // grpc-js does not look at the method of HTTP.
      if (isGrpc(headers['content-type']) && headers[':method'] === 'POST') {
        joinAuthorization(headers, raw);
        explain(stream);
        inner.emit('stream', stream, headers);
      } else other.emit('stream', stream, headers, flags, raw);
    },
  );

  const sweep = clock.every(limits.portSweepMs, () => {
    const nowMs = clock.monotonic();
    for (const [stream, untilMs] of reading) if (nowMs >= untilMs) stream.close(NGHTTP2_CANCEL);
    const idleBeforeMs = nowMs - limits.connectionIdleMs;
    for (const [session, connection] of connections) {
      connection.controlFrames = 0;
      if (connection.openStreams > 0) probe(session, connection);
      else if (connection.idleSinceMs < idleBeforeMs) session.close();
    }
  });
  sweep.unref();

  return {
    take: (socket) => outer.emit('connection', socket),
    drain() {
      for (const session of connections.keys()) session.close();
    },
    end: () => sweep[Symbol.dispose](),
  };
}
