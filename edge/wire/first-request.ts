// The first request of a connection: told apart by its first bytes, read by us when it is Subscribe, else handed on with its bytes.
import type { Socket } from 'node:net';
import { limits } from '../../runtime/limits.ts';
import { goOn, preflight, refusal } from './http1-answers.ts';
import { BodyReader } from './http1-body.ts';
import { type RequestHead, readHead } from './http1-head.ts';
import { contentTypes, type Protocol, protocolOf } from './protocol.ts';
import { SERVICE_PREFIX, SUBSCRIBE_PATH } from './subscribe-path.ts';
import { bodyBytes } from './subscribe-request.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SUBSCRIBE_LINE = Buffer.from(`POST ${SUBSCRIBE_PATH} HTTP/1.1\r\n`);
const OPTIONS_LINE = Buffer.from(`OPTIONS ${SERVICE_PREFIX}`);
const EMPTY = Buffer.alloc(0);

/** Where a connection goes. The socket comes paused, with its bytes put back, and with no listener of ours. */
export interface FirstRequestRoutes {
  http2(socket: Socket): void;
  http1(socket: Socket): void;
  /** A Subscribe request. `body` undefined: longer than any that is permitted. */
  subscribe(socket: Socket, protocol: Protocol, head: RequestHead, body: Buffer | undefined): void;
}

/** Whether `bytes` begins with `prefix`, as far as it goes. */
const mayBegin = (bytes: Buffer, prefix: Buffer): boolean => {
  const length = Math.min(bytes.length, prefix.length);
  return bytes.compare(prefix, 0, length, 0, length) === 0;
};

class Opening {
  readonly socket: Socket;
  readonly sinceMs: number;
  readonly #routes: FirstRequestRoutes;
  readonly #left: (opening: Opening) => void;
  #bytes: Buffer = EMPTY;
  #head: RequestHead | undefined;
  #protocol: Protocol | undefined;
  #body: BodyReader | undefined;
  /** Nothing was decided yet. */
  #waits = true;

  constructor(socket: Socket, sinceMs: number, routes: FirstRequestRoutes, left: (opening: Opening) => void) {
    this.socket = socket;
    this.sinceMs = sinceMs;
    this.#routes = routes;
    this.#left = left;
    socket
      .on('data', this.#onData)
      .on('end', this.#onGone)
      .on('error', this.#onGone)
      .on('close', this.#onGone);
  }

  readonly #onGone = (): void => {
    this.#left(this);
    this.socket.destroy();
  };

  readonly #onData = (bytes: Buffer): void => {
    if (this.#body) this.#takeBody(this.#body, bytes);
    else {
      this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
      this.#sniff();
    }
  };

  #sniff(): void {
    const bytes = this.#bytes;
    if (mayBegin(bytes, PREFACE)) {
      if (bytes.length >= PREFACE.length) this.#hand((socket) => this.#routes.http2(socket));
    } else if (mayBegin(bytes, SUBSCRIBE_LINE)) {
      if (bytes.length >= SUBSCRIBE_LINE.length) this.#takeHead();
    } else if (mayBegin(bytes, OPTIONS_LINE)) {
      if (bytes.length >= OPTIONS_LINE.length) this.#takeOptions();
    } else this.#hand((socket) => this.#routes.http1(socket));
  }

  #readHead(): RequestHead | undefined {
    const result = readHead(this.#bytes);
    if (result.kind === 'bad') this.#refuse(result.status, result.reason);
    return result.kind === 'head' ? result.head : undefined;
  }

  #takeOptions(): void {
    const head = this.#readHead();
    if (!head) return;
    if (head.body !== 0) {
      this.#refuse(400, 'Bad Request');
      return;
    }
    // An answer is ten times as long as its question: who asks and does not read is cut.
    if (!this.socket.write(preflight)) {
      this.#onGone();
      return;
    }
    this.#bytes = this.#bytes.subarray(head.end);
    if (this.#bytes.length > 0) this.#sniff();
  }

  #takeHead(): void {
    const head = this.#readHead();
    if (!head) return;
    const protocol = protocolOf(head.headers.get('content-type'));
    const expect = head.headers.get('expect')?.toLowerCase();
    if (!protocol) this.#refuse(415, 'Unsupported Media Type', { 'accept-post': contentTypes.join(', ') });
    else if (expect !== undefined && expect !== '100-continue') this.#refuse(417, 'Expectation Failed');
    else {
      const rest = this.#bytes.subarray(head.end);
      this.#bytes = EMPTY;
      this.#head = head;
      this.#protocol = protocol;
      this.#body = new BodyReader(head.body, bodyBytes);
      this.#takeBody(this.#body, rest);
      if (expect !== undefined && rest.length === 0 && this.#waits) this.socket.write(goOn);
    }
  }

  #takeBody(reader: BodyReader, bytes: Buffer): void {
    const state = reader.take(bytes);
    if (state === 'more') return;
    if (state === 'bad') {
      this.#refuse(400, 'Bad Request');
      return;
    }
    const body = state === 'done' ? reader.bytes() : undefined;
    const head = this.#head as RequestHead;
    const protocol = this.#protocol as Protocol;
    this.#leave();
    this.#routes.subscribe(this.socket, protocol, head, body);
  }

  #leave(): void {
    this.#waits = false;
    this.#left(this);
    const { socket } = this;
    socket
      .off('data', this.#onData)
      .off('end', this.#onGone)
      .off('error', this.#onGone)
      .off('close', this.#onGone);
  }

  #hand(take: (socket: Socket) => void): void {
    this.#leave();
    this.socket.pause();
    this.socket.unshift(this.#bytes);
    take(this.socket);
  }

  /** Says why and closes; whatever else comes is not looked at. The port's sweep ends a client that does not close. */
  #refuse(status: number, text: string, headers?: Readonly<Record<string, string>>): void {
    this.#waits = false;
    this.socket.off('data', this.#onData);
    this.socket.resume();
    this.socket.end(refusal(status, text, headers));
  }
}

/** The connections that have not made their first request yet. */
export class FirstRequests {
  readonly #routes: FirstRequestRoutes;
  readonly #most: number;
  /** The oldest first. */
  readonly #openings = new Set<Opening>();

  constructor(routes: FirstRequestRoutes, most: number = limits.edgeOpeningsCount) {
    this.#routes = routes;
    this.#most = most;
  }

  get size(): number {
    return this.#openings.size;
  }

  /** In a flood the oldest goes: whoever means it has said what it wants within milliseconds. */
  add(socket: Socket, nowMs: number): void {
    this.#openings.add(new Opening(socket, nowMs, this.#routes, this.#left));
    if (this.#openings.size <= this.#most) return;
    for (const oldest of this.#openings) {
      this.#left(oldest);
      oldest.socket.destroy();
      return;
    }
  }

  readonly #left = (opening: Opening): void => {
    this.#openings.delete(opening);
  };

  /** Cuts those that take longer than `limits.edgeFirstRequestMs`. */
  sweep(nowMs: number): void {
    for (const opening of this.#openings) {
      // In order of arrival: the first young one ends the search.
      if (nowMs - opening.sinceMs < limits.edgeFirstRequestMs) return;
      opening.socket.destroy();
    }
  }

  destroy(): void {
    for (const { socket } of this.#openings) socket.destroy();
  }
}
