// One HTTP/2 connection: of each request it is known whether it was answered, certainly not taken, or perhaps.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { type HttpAnswer, type HttpRequest, type HttpResult, unwritten } from './http-call.ts';
import type { Outcome } from './provider.ts';

/** `untouched`: the server says that it did not look at the request. */
export type H2Result = HttpResult | { untouched: string };

export interface H2SessionOptions {
  /** `https://host[:port]`, or `http:` for HTTP/2 without TLS. */
  origin: string;
  clock: Clock;
  /** Unused for so long, it is closed. */
  idleMs: number;
  /** There is room, or it can no longer be used. */
  onChange: () => void;
}

const EVERY_STREAM = 0x7fffffff;

function socketTo(origin: string): Socket {
  const { protocol, hostname, port } = new URL(origin);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (protocol === 'http:') return connectTcp({ host, port: Number(port || 80) });
  const servername = isIP(host) === 0 ? host : '';
  return connectTls({ host, port: Number(port || 443), servername, ALPNProtocols: ['h2'] });
}

const coded = (code: string) => Object.assign(new Error(code), { code });
const codeOf = (error: unknown) => String((error as { code?: unknown }).code ?? 'unknown');

/** Lower-case names; of several headers of one name, all, by commas. */
function flat(headers: IncomingHttpHeaders): HttpAnswer['headers'] {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  );
}

export class H2Session {
  /** Settles when it can be used, or with why it cannot. */
  readonly ready: Promise<Outcome | undefined>;
  readonly closed: Promise<void>;
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #onChange: () => void;
  readonly #timers: Timer[];
  readonly #settled = Promise.withResolvers<Outcome | undefined>();
  readonly #gone = Promise.withResolvers<void>();
  #up = false;
  #ending = false;
  #open = 0;
  #usedMs: number;
  #heard = false;
  #pinging = false;
  /** The highest stream that the server has looked at or will; those above certainly not. */
  #lastTaken = EVERY_STREAM;

  constructor({ origin, clock, idleMs, onChange }: H2SessionOptions) {
    this.#clock = clock;
    this.#idleMs = idleMs;
    this.#onChange = onChange;
    this.#usedMs = clock.monotonic();
    this.ready = this.#settled.promise;
    this.closed = this.#gone.promise;
    // The socket is ours: an HTTP/2 session that ends waits for its peer to close it too, which one that is gone never does.
    this.#socket = socketTo(origin);
    this.#session = connect(origin, {
      settings: { enablePush: false },
      createConnection: () => this.#socket,
    });
    this.#timers = [
      clock.after(limits.pushConnectMs, () => this.#slow()).unref(),
      clock.every(limits.pushPingMs, () => this.#look()).unref(),
    ];
    this.#listen();
  }

  get usable(): boolean {
    return !this.#ending;
  }

  get hasRoom(): boolean {
    const theirs = this.#session.remoteSettings?.maxConcurrentStreams ?? limits.pushStreamsCount;
    return this.#up && !this.#ending && this.#open < Math.min(theirs, limits.pushStreamsCount);
  }

  /** Only while it has room. Settles at once when the request's signal aborts. */
  call({ method = 'POST', path, headers, body, signal }: HttpRequest): Promise<H2Result> {
    this.#usedMs = this.#clock.monotonic();
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request({
        [constants.HTTP2_HEADER_METHOD]: method,
        [constants.HTTP2_HEADER_PATH]: path,
        ...headers,
      });
    } catch (error) {
      this.#end();
      return Promise.resolve({ untouched: `the connection takes no requests (${codeOf(error)})` });
    }
    this.#open += 1;
    const result = this.#follow(stream, signal);
    stream.end(body);
    return result;
  }

  /** Whether the server is still there; if not, the connection ends, and what was on it is lost. */
  check(): void {
    if (this.#pinging || !this.#up || this.#session.destroyed) return;
    this.#pinging = true;
    const late = this.#clock.after(limits.pushPongMs, () => this.#fail('PING_TIMEOUT'));
    this.#session.ping(() => {
      late[Symbol.dispose]();
      this.#pinging = false;
      this.#heard = true;
    });
  }

  /** Those that are on it are lost. */
  async destroy(): Promise<void> {
    this.#end();
    this.#session.destroy();
    this.#socket.destroy();
    await this.#gone.promise;
  }

  #listen(): void {
    const session = this.#session;
    let failure: unknown = coded('CLOSED');
    // The server's first frame. Before it we know neither that it speaks HTTP/2, nor how many streams it takes.
    session.on('remoteSettings', () => {
      this.#up = true;
      this.#heard = true;
      this.#settled.resolve(undefined);
      this.#onChange();
    });
    session.on('goaway', (_code, lastStream) => {
      this.#lastTaken = Math.min(this.#lastTaken, lastStream);
      this.#end();
    });
    session.on('error', (error) => {
      failure = error;
    });
    session.on('close', () => {
      for (const timer of this.#timers) timer[Symbol.dispose]();
      this.#settled.resolve(unwritten(failure));
      this.#gone.resolve();
      this.#end();
    });
  }

  /** No further requests; those that are on it go on. */
  #end(): void {
    this.#ending = true;
    this.#leave();
    this.#onChange();
  }

  #leave(): void {
    if (!this.#ending || this.#open > 0) return;
    this.#session.close();
    this.#socket.destroySoon();
  }

  #fail(code: string): void {
    this.#ending = true;
    this.#session.destroy(coded(code));
    this.#socket.destroy();
  }

  #slow(): void {
    if (!this.#up) this.#fail('CONNECT_TIMEOUT');
  }

  #look(): void {
    if (this.#open === 0 && this.#clock.monotonic() - this.#usedMs >= this.#idleMs) this.#end();
    else if (!this.#heard) this.check();
    this.#heard = false;
  }

  #follow(stream: ClientHttp2Stream, signal: AbortSignal): Promise<H2Result> {
    const { promise, resolve } = Promise.withResolvers<H2Result>();
    let head: Pick<HttpAnswer, 'status' | 'headers'> | undefined;
    let failure: unknown = coded('CLOSED');
    let whole = false;
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (unanswered: H2Result) => {
      signal.removeEventListener('abort', late);
      resolve(head ? { answer: { ...head, body: Buffer.concat(chunks), whole } } : unanswered);
    };
    const late = () => {
      settle({ outcome: { kind: 'unknown', reason: 'no answer in time' } });
      stream.close(constants.NGHTTP2_CANCEL);
      this.check();
    };
    signal.addEventListener('abort', late, { once: true });
    stream.on('response', (headers) => {
      this.#heard = true;
      head = { status: Number(headers[constants.HTTP2_HEADER_STATUS]), headers: flat(headers) };
    });
    stream.on('data', (chunk: Buffer) => {
      this.#heard = true;
      bytes += chunk.length;
      if (bytes <= limits.httpAnswerBytes) chunks.push(chunk);
      else stream.close(constants.NGHTTP2_CANCEL);
    });
    stream.on('end', () => {
      whole = bytes <= limits.httpAnswerBytes && stream.rstCode === constants.NGHTTP2_NO_ERROR;
    });
    stream.on('error', (error) => {
      failure = error;
    });
    stream.on('close', () => {
      this.#open -= 1;
      this.#usedMs = this.#clock.monotonic();
      settle(this.#unanswered(stream, failure));
      this.#leave();
      this.#onChange();
    });
    return promise;
  }

  #unanswered(stream: ClientHttp2Stream, failure: unknown): H2Result {
    const above = stream.id === undefined || stream.id > this.#lastTaken;
    if (above || stream.rstCode === constants.NGHTTP2_REFUSED_STREAM)
      return { untouched: 'the service ends the connection, or is full, and did not look at the request' };
    return { outcome: { kind: 'unknown', reason: `the answer was lost (${codeOf(failure)})` } };
  }
}
