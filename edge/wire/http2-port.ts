// HTTP/2 of the edge: Subscribe to our own streams, the rest to connect-node; bounded in streams, resets, control frames and silence.
import {
  constants,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { joinAuthorization } from '../../runtime/bearer.ts';
import { limits } from '../../runtime/limits.ts';
import type { Log } from '../../runtime/log.ts';
import { corsHeaders, preflightHeaders } from './cors.ts';
import { contentTypes, type Protocol, protocolOf } from './protocol.ts';
import { SERVICE_PREFIX, SUBSCRIBE_PATH } from './subscribe-path.ts';
import { bodyBytes } from './subscribe-request.ts';

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_CANCEL } = constants;

export interface Http2Options {
  readonly subscribe: (
    stream: ServerHttp2Stream,
    protocol: Protocol,
    request: { readonly socket: Socket; readonly headers: IncomingHttpHeaders },
    body: Buffer | undefined,
  ) => void;
  readonly rest: (request: Http2ServerRequest, response: Http2ServerResponse) => void;
  readonly log: Log;
}

interface Connection {
  readonly socket: Socket;
  open: number;
  controlFrames: number;
  /** When it last had an open stream. */
  quietSinceMs: number;
  /** Of what the client has sent: at the last sweep, and what it may send beyond. */
  readBytes: number;
  leftBytes: number;
  /** Sweeps since anything came from it. Time would accuse everybody after this process had stood still. */
  silentSweeps: number;
}

const PING_SWEEPS = Math.ceil(limits.connectionPingMs / limits.edgeSweepMs);
const GONE_SWEEPS = PING_SWEEPS + Math.ceil(limits.connectionPongMs / limits.edgeSweepMs);

function pathOf(headers: IncomingHttpHeaders): string {
  return (headers[':path'] ?? '').split('?', 1)[0] ?? '';
}

/** A stream that was reset while its body still waited to be read is closed, and not yet destroyed. */
const isOver = (stream: ServerHttp2Stream): boolean => stream.destroyed || stream.closed;

function refuse(
  stream: ServerHttp2Stream,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): void {
  stream.respond({ ':status': status, ...corsHeaders, ...headers }, { endStream: true });
}

/** Collects the request's body; `then` gets undefined when it is longer than any that is permitted. */
function readBody(stream: ServerHttp2Stream, then: (body: Buffer | undefined) => void): void {
  const parts: Buffer[] = [];
  let length = 0;
  const done = (body: Buffer | undefined) => {
    stream.removeAllListeners('data').removeAllListeners('end');
    then(body);
  };
  stream.on('data', (part: Buffer) => {
    length += part.length;
    if (length > bodyBytes) done(undefined);
    else parts.push(part);
  });
  stream.on('end', () => done(parts.length === 1 ? parts[0] : Buffer.concat(parts)));
}

export class Http2Port {
  readonly #options: Http2Options;
  readonly #server: Http2Server;
  /** Never listens: it only lends Node's request and response objects to the streams that are not ours. */
  readonly #compat: Http2Server;
  readonly #connections = new Map<Http2Session, Connection>();
  /** Streams whose request is not complete, with when it has to be. */
  readonly #reading = new Map<ServerHttp2Stream, number>();
  #nowMs: number;
  /** The socket that becomes a session at this moment. */
  #taken: Socket | undefined;

  constructor(options: Http2Options, nowMs: number) {
    this.#options = options;
    this.#nowMs = nowMs;
    this.#compat = createServer(options.rest);
    this.#server = createServer({
      settings: {
        maxConcurrentStreams: limits.connectionStreamsCount,
        maxHeaderListSize: limits.headerBytes,
      },
      streamResetBurst: limits.streamResetBurstCount,
      streamResetRate: limits.streamResetsPerSecond,
      maxSettings: 32,
      maxSessionInvalidFrames: 100,
      maxSessionRejectedStreams: 100,
    });
    this.#server.on('session', this.#onSession);
    this.#server.on('sessionError', (error) =>
      options.log.debug({ err: error }, 'an HTTP/2 connection broke'),
    );
    this.#server.on('stream', this.#onStream);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Takes a socket whose first bytes are the preface, put back; of TLS, too. */
  take(socket: Socket): void {
    this.#taken = socket;
    this.#server.emit('connection', socket);
    this.#taken = undefined;
  }

  readonly #onSession = (session: Http2Session): void => {
    const socket = this.#taken;
    // Node makes the session before `emit` returns.
    if (!socket) throw new Error('an HTTP/2 session came without its socket');
    const connection: Connection = {
      socket,
      open: 0,
      controlFrames: 0,
      quietSinceMs: this.#nowMs,
      readBytes: socket.bytesRead,
      leftBytes: limits.connectionBurstBytes,
      silentSweeps: 0,
    };
    this.#connections.set(session, connection);
    const control = () => {
      connection.controlFrames += 1;
      if (connection.controlFrames > limits.controlFramesCount)
        session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM);
    };
    session.on('ping', control).on('remoteSettings', control);
    session.on('close', () => this.#connections.delete(session));
    session.on('error', () => undefined);
  };

  readonly #onStream = (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    flags: number,
    raw: readonly string[],
  ): void => {
    stream.on('error', () => undefined);
    // Reset in the frame after its head: to answer it throws, and that would end the process.
    if (isOver(stream)) return;
    const connection = stream.session && this.#connections.get(stream.session);
    if (!connection) return;
    this.#count(stream, connection);
    joinAuthorization(headers, raw);
    const path = pathOf(headers);
    const ours = path.startsWith(SERVICE_PREFIX);
    if (!stream.endAfterHeaders)
      this.#reading.set(stream, this.#nowMs + (ours ? limits.edgeFirstRequestMs : limits.requestMs));
    if (ours && headers[':method'] === 'OPTIONS') {
      stream.respond({ ':status': 204, ...preflightHeaders }, { endStream: true });
    } else if (path === SUBSCRIBE_PATH) this.#subscribe(stream, headers, connection.socket);
    else this.#compat.emit('stream', stream, headers, flags, raw);
  };

  #count(stream: ServerHttp2Stream, connection: Connection): void {
    connection.open += 1;
    stream.once('end', () => this.#reading.delete(stream));
    stream.once('close', () => {
      this.#reading.delete(stream);
      connection.open -= 1;
      connection.quietSinceMs = this.#nowMs;
    });
  }

  #subscribe(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: Socket): void {
    const protocol = protocolOf(headers['content-type']);
    if (headers[':method'] === 'POST' && protocol) {
      readBody(stream, (body) => {
        // What is too long is read on, and dropped, for the time that a request may take: a reset would overtake the answer.
        if (body) this.#reading.delete(stream);
        if (!isOver(stream)) this.#options.subscribe(stream, protocol, { socket, headers }, body);
      });
      return;
    }
    if (headers[':method'] === 'POST') refuse(stream, 415, { 'accept-post': contentTypes.join(', ') });
    else refuse(stream, 405, { allow: 'POST' });
  }

  /** Ends what is too slow or too quiet. Called every `limits.edgeSweepMs`. */
  sweep(nowMs: number): void {
    const passed = nowMs - this.#nowMs;
    this.#nowMs = nowMs;
    for (const [stream, untilMs] of this.#reading) if (nowMs >= untilMs) stream.close(NGHTTP2_CANCEL);
    const forgiven = (limits.controlFramesCount * passed) / limits.portSweepMs;
    for (const [session, connection] of this.#connections) {
      connection.controlFrames = Math.max(0, connection.controlFrames - forgiven);
      if (connection.open === 0 && nowMs - connection.quietSinceMs >= limits.connectionIdleMs)
        session.close();
      this.#listen(session, connection, passed);
    }
  }

  /** Cuts a client that says too much, whatever the frames, and one that does not even answer a PING. */
  #listen(session: Http2Session, connection: Connection, passedMs: number): void {
    const said = connection.socket.bytesRead - connection.readBytes;
    connection.readBytes += said;
    const earned = (limits.connectionBytesPerSecond * passedMs) / 1_000;
    connection.leftBytes = Math.min(limits.connectionBurstBytes, connection.leftBytes + earned) - said;
    connection.silentSweeps = said > 0 ? 0 : connection.silentSweeps + 1;
    if (session.destroyed) return;
    if (connection.leftBytes < 0) session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM);
    else if (connection.silentSweeps === PING_SWEEPS) session.ping(() => undefined);
    else if (connection.silentSweeps >= GONE_SWEEPS) session.destroy();
  }

  /** Says GOAWAY: what is open may end, nothing new comes. */
  goAway(): void {
    for (const session of this.#connections.keys()) session.close();
  }

  destroy(): void {
    for (const session of this.#connections.keys()) session.destroy();
  }
}
