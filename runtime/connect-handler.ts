// Serves mounts over Connect, gRPC-Web and JSON to whoever speaks HTTP/1.1 or 2; every error carries a reason.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import {
  Code,
  ConnectError,
  cors,
  createConnectRouter,
  type Interceptor,
  type ServiceImpl,
} from '@connectrpc/connect';
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node';
import { joinAuthorization } from './bearer.ts';
import { withReason } from './connect-reasons.ts';
import { limits } from './limits.ts';
import type { Log } from './log.ts';
import type { Mount } from './mount.ts';
import { toConnectError } from './wire-errors.ts';

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;
export type RequestHandler = (request: Request, response: Response) => void;

export interface ConnectHandlerOptions {
  mounts: readonly Mount[];
  /** Bytes of one message, unpacked. */
  maxMessageBytes: number;
  /** Refuses JSON with fields that the schema does not know, as a mistyped name in a curl call would be. */
  strictJson?: boolean;
  /** Lets pages of any origin call. */
  crossOrigin?: boolean;
  /** Aborts when the port closes. */
  shutdown?: AbortSignal;
  /** Gets what is no method of the mounts; 404 when absent. */
  fallback?: RequestHandler;
  log: Log;
}

/** Ends with `signal`, whatever the handler does: a caller's deadline holds. A shutdown lets it finish. */
function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  shutdown: AbortSignal | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      if (signal.reason !== shutdown?.reason || !shutdown?.aborted) reject(signal.reason);
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

async function* explained<T>(messages: AsyncIterable<T>, log: Log): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw toConnectError(error, log);
  }
}

function errorInterceptor(log: Log, shutdown: AbortSignal | undefined): Interceptor {
  return (next) => async (request) => {
    try {
      const response = await (request.stream
        ? next(request)
        : untilAborted(next(request), request.signal, shutdown));
      return response.stream ? { ...response, message: explained(response.message, log) } : response;
    } catch (error) {
      throw toConnectError(error, log);
    }
  };
}

function allowOrigin(request: Request, response: Response): boolean {
  response.setHeader('access-control-allow-origin', '*');
  response.setHeader('access-control-expose-headers', cors.exposedHeaders.join(', '));
  if (request.method !== 'OPTIONS') return false;
  response.setHeader('access-control-allow-methods', cors.allowedMethods.join(', '));
  const extra = ['authorization', 'traceparent'];
  response.setHeader('access-control-allow-headers', [...cors.allowedHeaders, ...extra].join(', '));
  response.setHeader('access-control-max-age', '7200');
  answerPlainly(response, 204);
  return true;
}

function answerPlainly(response: Response, status: number): void {
  // Both kinds have these two; only the overloads of writeHead differ.
  (response as ServerResponse).writeHead(status);
  response.end();
}
const notFound: RequestHandler = (_request, response) => answerPlainly(response, 404);
const badRequest: RequestHandler = (_request, response) => answerPlainly(response, 400);

/** A handler for `http.createServer` and `http2.createServer` alike. */
export function connectHandler(options: ConnectHandlerOptions): RequestHandler {
  const { mounts, maxMessageBytes, strictJson = false, crossOrigin = false, shutdown, log } = options;
  const { fallback = notFound } = options;
  const router = createConnectRouter({
    readMaxBytes: maxMessageBytes,
    acceptCompression: [compressionGzip],
    binaryOptions: { readUnknownFields: false },
    jsonOptions: { ignoreUnknownFields: !strictJson },
    interceptors: [errorInterceptor(log, shutdown)],
    ...(shutdown && { shutdownSignal: shutdown }),
  });
  for (const { desc, handlers } of mounts)
    router.service(desc, handlers as unknown as Partial<ServiceImpl<typeof desc>>);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    const path = request.url?.split('?', 1)[0] ?? '';
    if (crossOrigin && allowOrigin(request, response)) return;
    const handler = handlers.get(path);
    if (!handler) return fallback(request, response);
    if ((request.url?.length ?? 0) > limits.headerBytes) return badRequest(request, response);
    joinAuthorization(request.headers, request.rawHeaders);
    let universal: ReturnType<typeof universalRequestFromNodeRequest>;
    try {
      universal = universalRequestFromNodeRequest(request, response, undefined, undefined);
    } catch {
      // A `host` that is none: thrown here, it would end the process.
      return badRequest(request, response);
    }
    // Whoever stops reading must not cut the connection: on HTTP/1.1 that would take the answer with it.
    const body = request.iterator({ destroyOnReturn: false });
    // Nor must it leave a client in the middle of its request waiting for room: what comes after the answer is dropped.
    const answered = 'stream' in response ? response.stream : response;
    answered.once('finish', () => request.resume());
    handler({ ...universal, body })
      .then(withReason)
      .then((answer) => universalResponseToNodeResponse(answer, response))
      .catch((error: unknown) => {
        if (!response.destroyed) response.destroy();
        const { code } = ConnectError.from(error);
        if (code !== Code.Aborted && code !== Code.Canceled)
          log.warn({ err: error }, 'an answer could not be written');
      });
  };
}
