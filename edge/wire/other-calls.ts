// Everything that is not Subscribe: connect-node, with what it lacks for the open world (CORS, preflight, requests it would choke on).
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { ConnectRouter, Interceptor } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { connectHandler } from '../../runtime/connect-handler.ts';
import { limits } from '../../runtime/limits.ts';
import type { Log } from '../../runtime/log.ts';
import type { Mount } from '../../runtime/mount.ts';
import { corsHeaders, preflightHeaders } from './cors.ts';

type NodeRequest = IncomingMessage | Http2ServerRequest;
type NodeResponse = ServerResponse | Http2ServerResponse;
export type NodeHandler = (request: NodeRequest, response: NodeResponse) => void;

export interface OtherCallsOptions {
  readonly routes?: ((router: ConnectRouter) => void) | undefined;
  /** Instead of routes: services whose every error carries a reason, also those that Connect makes by itself. */
  readonly mounts?: readonly Mount[] | undefined;
  readonly interceptors?: Interceptor[] | undefined;
  readonly log: Log;
  /** Ends calls that are still open when the port closes. */
  readonly signal: AbortSignal;
}

function answer(
  response: NodeResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): void {
  for (const name in headers) response.setHeader(name, headers[name] as string);
  response.statusCode = status;
  response.end();
}

export function otherCalls(options: OtherCallsOptions): NodeHandler {
  const { routes = () => undefined, mounts, interceptors = [], log, signal } = options;
  const adapter: NodeHandler = mounts
    ? connectHandler({ mounts, maxMessageBytes: limits.edgeMessageBytes, shutdown: signal, log })
    : connectNodeAdapter({
        routes,
        interceptors,
        readMaxBytes: limits.edgeMessageBytes,
        binaryOptions: { readUnknownFields: false },
        jsonOptions: { ignoreUnknownFields: true },
        shutdownSignal: signal,
      });
  return (request, response) => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    if (request.method === 'OPTIONS') return answer(response, 204, preflightHeaders);
    for (const name in corsHeaders) response.setHeader(name, corsHeaders[name] as string);
    try {
      adapter(request, response);
    } catch (error) {
      // connect-node makes a URL of path and host, and throws when they do not make one; nobody else would catch that.
      log.debug({ err: error }, 'a request that is not one');
      answer(response, 400);
    }
  };
}
