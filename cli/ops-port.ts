// The port for those who run it: /healthz (the process lives), /readyz (it can work), /metrics.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Readiness } from './readiness.ts';

export interface OpsPort extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

export interface OpsPortOptions {
  host: string;
  /** 0 picks a free one. */
  port: number;
  metrics: Metrics;
  readiness: Readiness;
  log: Log;
}

const PAGES = '/healthz\n/readyz\n/metrics\n';

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

/** Opens it; rejects with the listener's error, such as EADDRINUSE. */
export async function openOpsPort(options: OpsPortOptions): Promise<OpsPort> {
  const { metrics, readiness, log } = options;
  async function serve(path: string, response: ServerResponse): Promise<void> {
    switch (path) {
      case '/healthz':
        return answer(response, 200, 'text/plain; charset=utf-8', 'ok\n');
      case '/readyz': {
        const report = readiness.report();
        return answer(response, report.ready ? 200 : 503, 'application/json', `${JSON.stringify(report)}\n`);
      }
      case '/metrics':
        return answer(response, 200, 'text/plain; version=0.0.4; charset=utf-8', await metrics.expose());
      case '/':
        return answer(response, 200, 'text/plain; charset=utf-8', PAGES);
      default:
        return answer(response, 404, 'text/plain; charset=utf-8', `There are\n${PAGES}`);
    }
  }
  const server = createServer(
    { headersTimeout: limits.opsRequestMs, requestTimeout: limits.opsRequestMs, maxHeaderSize: 8_192 },
    (request, response) => {
      request.resume();
      if (request.method !== 'GET' && request.method !== 'HEAD')
        return answer(response, 405, 'text/plain; charset=utf-8', 'Only GET.\n');
      // As text: what is no URL, `//` for one, must not throw here.
      serve((request.url ?? '/').split('?', 1)[0] ?? '/', response).catch((error: unknown) => {
        log.error({ err: error }, 'the ops port failed');
        if (!response.headersSent) answer(response, 500, 'text/plain; charset=utf-8', 'failed\n');
      });
    },
  );
  server.maxConnections = limits.opsConnectionsCount;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { address, port } = server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  return {
    host: address,
    port,
    [Symbol.asyncDispose]() {
      closing ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return closing;
    },
  };
}
