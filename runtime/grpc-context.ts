// Connect's handler context over a call of grpc-js; each part is made when it is asked for, since most calls ask for little.
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ContextValues,
  createContextValues,
  type HandlerContext,
} from '@connectrpc/connect';
import grpc from '@grpc/grpc-js';
import { CarillonError } from './errors.ts';

/** What all four kinds of grpc-js calls have. */
export interface ServerCall {
  readonly metadata: grpc.Metadata;
  readonly cancelled: boolean;
  getDeadline(): grpc.Deadline;
  sendMetadata(metadata: grpc.Metadata): void;
  once(event: 'cancelled', listener: () => void): unknown;
}

export class GrpcContext implements HandlerContext {
  readonly method: DescMethod;
  readonly protocolName = 'grpc';
  readonly requestMethod = 'POST';
  readonly #call: ServerCall;
  readonly #shutdown: AbortSignal;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;
  #abort: AbortController | undefined;

  constructor(call: ServerCall, method: DescMethod, shutdown: AbortSignal) {
    this.#call = call;
    this.method = method;
    this.#shutdown = shutdown;
  }

  get service(): DescService {
    return this.method.parent;
  }

  get url(): string {
    return `http://localhost/${this.method.parent.typeName}/${this.method.name}`;
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= headersOf(this.#call.metadata);
    return this.#requestHeader;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  get values(): ContextValues {
    this.#values ??= createContextValues();
    return this.#values;
  }

  /** Milliseconds until the caller's deadline; undefined when there is none. A field: handlers take it apart. */
  readonly timeoutMs = (): number | undefined => {
    const deadline = this.#call.getDeadline();
    return deadline === Number.POSITIVE_INFINITY ? undefined : Number(deadline) - Date.now();
  };

  /** Aborts when the call is over, for whatever reason. */
  get signal(): AbortSignal {
    if (this.#abort) return this.#abort.signal;
    const abort = new AbortController();
    this.#abort = abort;
    const shutdown = this.#shutdown;
    const onShutdown = () => abort.abort(shutdown.reason);
    const onOver = () => {
      shutdown.removeEventListener('abort', onShutdown);
      const leftMs = this.timeoutMs();
      abort.abort(
        leftMs !== undefined && leftMs <= 0
          ? new CarillonError('DEADLINE_EXCEEDED')
          : new ConnectError('The caller went away.', Code.Canceled),
      );
    };
    if (this.#call.cancelled) onOver();
    else if (shutdown.aborted) onShutdown();
    else {
      this.#call.once('cancelled', onOver);
      shutdown.addEventListener('abort', onShutdown, { once: true });
    }
    return abort.signal;
  }

  /** Sends the headers that the handler set, if it set any. */
  flushHeaders(): void {
    if (this.#responseHeader) this.#call.sendMetadata(metadataOf(this.#responseHeader));
  }

  get trailers(): grpc.Metadata | undefined {
    return this.#responseTrailer && metadataOf(this.#responseTrailer);
  }
}

function headersOf(metadata: grpc.Metadata): Headers {
  const headers = new Headers();
  const entries = metadata.toHttp2Headers();
  for (const name in entries) {
    const value = entries[name];
    if (name.startsWith(':') || value === undefined) continue;
    headers.set(name, Array.isArray(value) ? value.join(', ') : String(value));
  }
  return headers;
}

function metadataOf(headers: Headers): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [name, value] of headers) metadata.set(name, value);
  return metadata;
}
