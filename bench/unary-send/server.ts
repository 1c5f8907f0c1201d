// A process with one server of Send in it: ours with keys, up to the commit queue, traced or not, or a bare grpc-js handler that only decodes and answers.
import { create } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import type { Handoff } from '../../eventlog/event-log.ts';
import { IngestService, SendResponseSchema } from '../../gen/carillon/v1/ingest_pb.ts';
import { createIngest } from '../../ingest/service.ts';
import { grpcService } from '../../runtime/grpc-service.ts';
import { systemIds } from '../../runtime/ids.ts';
import { limits } from '../../runtime/limits.ts';
import { silentLog } from '../../runtime/log.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { openPort } from '../../runtime/one-port.ts';
import { openTracing } from '../../runtime/tracing.otlp.ts';
import type { Database } from '../../storage/database.ts';
import { testTokens } from '../../test/support/tokens.ts';

const answer = <R>(rows: R[]) =>
  Promise.resolve({ rows, rowCount: rows.length, command: '', oid: 0, fields: [] });

/** Takes every commit at once: the way to the disk is measured by G9. */
const instantly: Database = {
  url: '',
  query: () => answer([]),
  transaction: (work) => work({ query: () => answer([]) }),
  snapshot: (work) => work({ query: () => answer([]) }),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

const nowhere: Handoff = {
  write: () => Promise.resolve({ committed: () => {} }),
  backlog: () => ({ bytes: 0, oldestMs: 0 }),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

export interface Serving {
  port: number;
  /** For the calls. */
  key: string;
}

/** `collector`: where one call in a hundred sends its spans; undefined: tracing is off. */
async function serveOurs(collector: string | undefined): Promise<Serving> {
  const tokens = await testTokens();
  const tracing = openTracing({
    environment: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector,
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.01',
    },
    log: silentLog,
  });
  const ingest = createIngest({
    database: instantly,
    handoff: nowhere,
    log: silentLog,
    metrics: createMetrics(),
    tracing,
    authenticator: tokens.authenticator,
  });
  const port = await openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [ingest.mount],
    maxMessageBytes: limits.ingestMessageBytes,
    log: silentLog,
  });
  return { port: port.port, key: tokens.backendKey({ scopes: ['notifications:send'] }).key };
}

function serveBare(): Promise<Serving> {
  const server = new grpc.Server();
  const send: grpc.handleUnaryCall<unknown, unknown> = (_call, callback) =>
    callback(null, create(SendResponseSchema, { notificationId: systemIds.uuid() }));
  server.addService(grpcService(IngestService), { send });
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve({ port, key: 'of-no-account' }),
    ),
  );
}

const serving = await (process.argv[2] === 'ours' ? serveOurs(process.argv[3]) : serveBare());
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuUs: user + system });
});
process.on('disconnect', () => process.exit());
process.send?.(serving);
