// Requests to one HTTP/2 service over one connection at a time, which is replaced when it ends; nothing is sent twice that may have been taken.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { type H2Result, H2Session } from './h2-session.ts';
import type { HttpRequest, HttpResult } from './http-call.ts';
import type { Outcome } from './provider.ts';

export interface H2ClientOptions {
  /** Scheme, host and port, `http:` being HTTP/2 without TLS; a path in it is put before that of each request. */
  baseUrl: string;
  clock: Clock;
  idleMs: number;
}

/**
 * node:http2 rather than undici: undici does not tell which of its requests a GOAWAY left untouched, or whether one was
 * written, and with that every connection that the service ends, as APNs does daily, would make ambiguous deliveries.
 */
export class H2Client implements AsyncDisposable {
  readonly #options: Omit<H2ClientOptions, 'baseUrl'> & { origin: string };
  readonly #prefix: string;
  readonly #sessions = new Set<H2Session>();
  readonly #waiting = new Set<() => void>();
  #current: H2Session | undefined;
  #closed = false;

  constructor({ baseUrl, clock, idleMs }: H2ClientOptions) {
    const url = new URL(baseUrl);
    this.#options = { origin: url.origin, clock, idleMs };
    this.#prefix = url.pathname.replace(/\/$/, '');
  }

  /** Makes one call. Never rejects. What the service certainly did not look at goes over another connection, once. */
  async call(request: HttpRequest): Promise<HttpResult> {
    const first = await this.#send(request);
    if (!('untouched' in first)) return first;
    const second = await this.#send(request);
    return 'untouched' in second ? { outcome: { kind: 'transient', reason: second.untouched } } : second;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#sessions].map((session) => session.destroy()));
    this.#wake();
  }

  async #send(request: HttpRequest): Promise<H2Result> {
    const { signal } = request;
    let session: H2Session | undefined;
    for (let connects = 0; !signal.aborted && !this.#closed; ) {
      const current = this.#session();
      if (current !== session && ++connects > limits.pushConnectsCount)
        return { untouched: 'the service ends every connection' };
      session = current;
      const outcome = await this.#ready(session, signal);
      if (outcome) return { outcome };
      if (session.hasRoom && !signal.aborted)
        return session.call({ ...request, path: this.#prefix + request.path });
      if (session.usable && !signal.aborted) await this.#change(signal);
    }
    return { outcome: { kind: 'down', reason: 'the call took too long' } };
  }

  #session(): H2Session {
    if (this.#current?.usable) return this.#current;
    const session: H2Session = new H2Session({ ...this.#options, onChange: () => this.#wake() });
    this.#current = session;
    this.#sessions.add(session);
    void session.closed.then(() => this.#sessions.delete(session));
    return session;
  }

  async #ready(session: H2Session, signal: AbortSignal): Promise<Outcome | undefined> {
    const late = Promise.withResolvers<undefined>();
    const onAbort = () => late.resolve(undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    const failed = await Promise.race([session.ready, late.promise]);
    signal.removeEventListener('abort', onAbort);
    return failed;
  }

  /** A stream has ended, or the connection. */
  async #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = () => resolve();
    this.#waiting.add(done);
    signal.addEventListener('abort', done, { once: true });
    await promise;
    signal.removeEventListener('abort', done);
    this.#waiting.delete(done);
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
  }
}
