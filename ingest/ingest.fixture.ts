// The ingest service on a port of its own and a database of its own, with a handoff that the test looks into.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { IngestService, type SendRequest, SendRequestSchema } from '../gen/carillon/v1/ingest_pb.ts';
import { AudienceSchema, ContentSchema, NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { bearer, withBearer } from '../runtime/bearer.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { type GrpcClient, grpcClient } from '../runtime/grpc-service.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { type OnePort, openPort } from '../runtime/one-port.ts';
import type { Tracing } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import { testDatabase } from '../test/support/database.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { type TestTokens, testTokens } from '../test/support/tokens.ts';
import { createIngest } from './service.ts';

export interface RunningIngest extends AsyncDisposable {
  readonly db: Database;
  readonly handoff: RecordingHandoff;
  readonly port: OnePort;
  /** `http://host:port`. */
  readonly url: string;
  readonly client: GrpcClient<typeof IngestService>;
  readonly tokens: TestTokens;
  /** `authorization` of a backend that may do everything. */
  readonly headers: { readonly authorization: string };
  /** The same for Connect's transports. */
  readonly signed: Interceptor[];
  /** Requests that wait for their commit. */
  waiting(): number;
}

export async function runIngest(options: { clock?: Clock; tracing?: Tracing } = {}): Promise<RunningIngest> {
  const stack = new AsyncDisposableStack();
  const { db } = stack.use(await testDatabase());
  const handoff = new RecordingHandoff();
  const clock = options.clock ?? systemClock;
  const tokens = await testTokens();
  const { authenticator } = tokens;
  const { key } = tokens.backendKey();
  const headers = bearer(key);
  const ingest = stack.use(
    createIngest({ ...options, authenticator, database: db, handoff, clock, log: silentLog }),
  );
  const port = stack.use(
    await openPort({
      host: '127.0.0.1',
      port: 0,
      mounts: [ingest.mount],
      maxMessageBytes: limits.ingestMessageBytes,
      strictJson: true,
      log: silentLog,
    }),
  );
  const client = stack.use(grpcClient(IngestService, `127.0.0.1:${port.port}`, { headers }));
  return {
    db,
    handoff,
    port,
    client,
    tokens,
    headers,
    signed: [withBearer(() => key)],
    waiting: () => ingest.waiting,
    url: `http://127.0.0.1:${port.port}`,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A request to `users`, and what else it shall say. */
export function request(
  users: readonly string[],
  more: { idempotencyKey?: string; notification?: MessageInitShape<typeof NotificationSchema> } = {},
): SendRequest {
  const notification = create(NotificationSchema, more.notification);
  notification.audience ??= create(AudienceSchema, { kind: { case: 'users', value: { ids: [...users] } } });
  notification.content ??= create(ContentSchema, { title: 'Hello', body: 'World' });
  return create(SendRequestSchema, { ...more, notification });
}

/** How many rows the tables of acceptance hold. */
export async function stored(db: Database): Promise<{ notifications: number; keys: number }> {
  const { rows } = await db.query<{ notifications: number; keys: number }>({
    text: `select (select count(*)::int from notifications) as notifications,
                  (select count(*)::int from idempotency_keys) as keys`,
  });
  return rows[0] ?? { notifications: -1, keys: -1 };
}
