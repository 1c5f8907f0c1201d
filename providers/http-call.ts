// One HTTP call to a provider: bounded in time and bytes, never made twice, and clear whether a byte of it may have arrived.
import type { LookupFunction } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { limits } from '../runtime/limits.ts';
import type { Outcome } from './provider.ts';

export interface HttpCallerOptions {
  /** Scheme, host and port; a path in it is put before that of each request. */
  baseUrl: string;
  /** `limits.httpConnectionsCount` when absent. */
  connections?: number;
  /** HTTP/2 when the server offers it: many calls over few connections. Off when absent. */
  multiplexed?: boolean;
  /** PEM certificates that vouch for the server's, instead of the system's. */
  ca?: string;
  /** Instead of the system's: to which addresses a name may lead. Not asked for addresses in numbers. */
  lookup?: LookupFunction;
}

export interface HttpRequest {
  /** POST when absent. */
  method?: 'GET' | 'POST';
  /** With its query; appended to the base URL's path. Empty: that path as it is. */
  path: string;
  headers?: Readonly<Record<string, string>>;
  body?: string | Buffer;
  signal: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  /** Lower-case names; of several headers of one name, all, by commas. */
  headers: Readonly<Record<string, string | undefined>>;
  body: Buffer;
  /** False when the body was cut: it was longer than `limits.httpAnswerBytes`, or the connection or our patience ended in it. */
  whole: boolean;
}

/** An answer, or what it means that there is none: `down` or `config` when not a byte was written, `unknown` after that. */
export type HttpResult = { answer: HttpAnswer } | { outcome: Outcome };

/** Node's and OpenSSL's names for certificates that nobody vouches for: an operator must act. */
const CERTIFICATE = /^(ERR_TLS_CERT|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY))/;

/** The code of the error of a `lookup` that will not say where a name leads. */
export const REFUSED_ADDRESS = 'ADDRESS_REFUSED';

const TOO_LONG: Outcome = { kind: 'down', reason: 'the call took too long' };

function codeOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return typeof code === 'string' ? code : typeof name === 'string' ? name : 'Error';
}

/** What it means that a call failed before a byte of it was written. Never names an address: the reason is an error's code. */
export function unwritten(error: unknown): Outcome {
  const code = codeOf(error);
  if (CERTIFICATE.test(code))
    return { kind: 'config', reason: `the server's certificate is not accepted (${code})` };
  if (code === REFUSED_ADDRESS)
    return { kind: 'config', reason: 'the name leads to an address that may not be called' };
  if (code === 'UND_ERR_INVALID_ARG')
    return { kind: 'config', reason: 'the call cannot be put into HTTP; is a setting wrong?' };
  return { kind: 'down', reason: `no connection (${code})` };
}

/** Follows one request: what settles it first counts, and what comes later is harmless. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly result: Promise<HttpResult>;
  readonly #settle: (result: HttpResult) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #head: Pick<HttpAnswer, 'status' | 'headers'> | undefined;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #over = false;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<HttpResult>();
    this.result = promise;
    this.#settle = resolve;
  }

  #end(result: HttpResult, cut = true): void {
    if (this.#over) return;
    this.#over = true;
    this.#settle(result);
    // What may still come is of no use to anybody, and its connection neither.
    if (cut) this.#controller?.abort(new Error('settled'));
  }

  #answer(whole: boolean): HttpResult {
    return { answer: { ...this.#head!, body: Buffer.concat(this.#chunks), whole } };
  }

  /** Our patience has ended. */
  abort(): void {
    if (this.#head) this.#end(this.#answer(false));
    else if (this.#controller) this.#end({ outcome: { kind: 'unknown', reason: 'no answer in time' } });
    else this.#end({ outcome: TOO_LONG });
  }

  /** The connection stands, and the request is written next, unless it is over. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#over) controller.abort(new Error('settled'));
    else this.#controller = controller;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    const flat = Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      Array.isArray(value) ? value.join(', ') : value,
    ]);
    this.#head = { status, headers: Object.fromEntries(flat) };
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const room = limits.httpAnswerBytes - this.#bytes;
    this.#chunks.push(Buffer.from(chunk.subarray(0, room)));
    this.#bytes += chunk.length;
    if (chunk.length > room) this.#end(this.#answer(false));
  }

  onResponseEnd(): void {
    this.#end(this.#answer(true), false);
  }

  onResponseError(_controller: unknown, error: unknown): void {
    if (this.#head) this.#end(this.#answer(false));
    else if (this.#controller)
      this.#end({ outcome: { kind: 'unknown', reason: `the answer was lost (${codeOf(error)})` } });
    else this.#end({ outcome: unwritten(error) });
  }
}

/** Calls one server over kept connections. Follows no redirects, tries nothing twice. Connects when there is something to send. */
export class HttpCaller implements AsyncDisposable {
  readonly #pool: Pool;
  readonly #base: string;

  constructor({ baseUrl, connections, multiplexed = false, ca, lookup }: HttpCallerOptions) {
    const url = new URL(baseUrl);
    this.#base = url.pathname;
    this.#pool = new Pool(url.origin, {
      connections: connections ?? limits.httpConnectionsCount,
      allowH2: multiplexed,
      headersTimeout: limits.providerCallMs,
      bodyTimeout: limits.providerCallMs,
      keepAliveTimeout: limits.httpIdleMs,
      keepAliveMaxTimeout: limits.httpIdleMs,
      maxHeaderSize: limits.httpAnswerHeadersBytes,
      connect: {
        timeout: limits.httpConnectMs,
        ...(ca !== undefined && { ca }),
        ...(lookup && { lookup }),
      },
    });
  }

  /** Makes one call. Never rejects. */
  async call({ method = 'POST', path, headers, body, signal }: HttpRequest): Promise<HttpResult> {
    if (signal.aborted) return { outcome: TOO_LONG };
    const exchange = new Exchange();
    const abort = () => exchange.abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      const target = path === '' ? this.#base : this.#base.replace(/\/$/, '') + path;
      const request = { method, path: target, headers: headers ?? {}, body: body ?? null };
      this.#pool.dispatch(request, exchange);
    } catch (error) {
      exchange.onResponseError(undefined, error);
    }
    try {
      return await exchange.result;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }
}

/** What a Retry-After asks for, milliseconds from now: given in seconds or as a date; undefined when absent or neither. */
export function retryAfterMs(headers: HttpAnswer['headers'], nowMs: number): number | undefined {
  const text = headers['retry-after']?.trim();
  if (text === undefined) return undefined;
  if (/^\d{1,9}(\.\d+)?$/.test(text)) return Math.ceil(Number(text) * 1000);
  const dateMs = /[A-Za-z]{3}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs);
}

/** The body as JSON; undefined when it was cut or is none. */
export function jsonOf({ body, whole }: HttpAnswer): unknown {
  if (!whole) return undefined;
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
