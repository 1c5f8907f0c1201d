// A whole mesh with every role in a process of its own, over a PostgreSQL, Kafka and Redis that go with it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Stack, startStack } from '../../deploy/stack/stack.ts';
import { freePorts, RoleProcess } from './processes.ts';

const roleNames = ['ingest', 'router', 'edge', 'providers'] as const;

export interface RunningCluster extends AsyncDisposable {
  readonly ingest: string;
  readonly edge: string;
  readonly roles: readonly RoleProcess[];
  readonly stack: Stack;
  readonly directory: string;
}

/** `env`: more `CARILLON_*` and `OTEL_*` settings, for every role. */
export async function startRunningCluster(env: NodeJS.ProcessEnv = {}): Promise<RunningCluster> {
  await using opened = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'carillon-cluster-'));
  opened.defer(() => rm(directory, { recursive: true, force: true }));
  const stack = opened.use(await startStack({}));
  const [ingest, edge, router, webhooks, link] = (await freePorts(5)).map(String);
  const shared = {
    CARILLON_POSTGRES_URL: stack.postgresUrl,
    CARILLON_KAFKA_BROKERS: stack.kafkaBrokers,
    CARILLON_REDIS_URL: stack.redisUrl,
    CARILLON_INGEST_PORT: ingest,
    CARILLON_EDGE_PORT: edge,
    CARILLON_ROUTER_PORT: router,
    CARILLON_WEBHOOK_PORT: webhooks,
    CARILLON_LINK_PORT: link,
    CARILLON_OPS_PORT: '0',
    CARILLON_LOG_LEVEL: 'warn',
    ...env,
  };
  const roles = roleNames.map(
    (name) => new RoleProcess(name, ['serve', name], shared, join(directory, `${name}.log`)),
  );
  opened.defer(async () => {
    await Promise.all(roles.map((process) => process.end('SIGTERM')));
  });
  await Promise.all(roles.map((process) => process.start()));
  const owned = opened.move();
  return {
    ingest: `http://127.0.0.1:${ingest}`,
    edge: `http://127.0.0.1:${edge}`,
    roles,
    stack,
    directory,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
