// The mesh under test, as real processes: all in one, or every role on its own over PostgreSQL, Kafka and Redis.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startStack } from '../../deploy/stack/stack.ts';
import { freePorts, RoleProcess } from '../support/processes.ts';

export type Mode = 'embedded' | 'cluster';

export interface MeshUnderTest extends AsyncDisposable {
  readonly ingest: string;
  readonly edge: string;
  readonly roles: readonly RoleProcess[];
  /** Only in a cluster. */
  readonly kafka: { stop(): Promise<void>; start(): Promise<void> } | undefined;
  readonly directory: string;
}

export async function startMesh(mode: Mode, smtpUrl: string): Promise<MeshUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), 'carillon-chaos-'));
  const [ingest, edge, router, webhooks, ops, link, ops2, ops3, ops4] = (await freePorts(9)).map(String);
  const env = {
    CARILLON_INGEST_PORT: ingest,
    CARILLON_EDGE_PORT: edge,
    CARILLON_ROUTER_PORT: router,
    CARILLON_WEBHOOK_PORT: webhooks,
    CARILLON_OPS_PORT: ops,
    CARILLON_LINK_PORT: link,
    CARILLON_SMTP_URL: smtpUrl,
    CARILLON_PROVIDER_RETRY_MS: '500,1000,2000,4000,8000,15000,30000',
    CARILLON_LOG_LEVEL: 'warn',
  };
  const role = (name: string, args: string[], more: NodeJS.ProcessEnv = {}) =>
    new RoleProcess(name, args, { ...env, ...more }, join(directory, `${name}.log`));
  const addresses = { ingest: `http://127.0.0.1:${ingest}`, edge: `http://127.0.0.1:${edge}` };
  const closeAll = async (roles: readonly RoleProcess[]) => {
    for (const process of roles) await process.end('SIGTERM');
  };

  if (mode === 'embedded') {
    const roles = [role('up', ['up', '--data', join(directory, 'data')])];
    await roles[0]!.start();
    return {
      ...addresses,
      roles,
      kafka: undefined,
      directory,
      async [Symbol.asyncDispose]() {
        await closeAll(roles);
        await rm(directory, { recursive: true, force: true });
      },
    };
  }

  const stack = await startStack({});
  const urls = {
    CARILLON_POSTGRES_URL: stack.postgresUrl,
    CARILLON_KAFKA_BROKERS: stack.kafkaBrokers,
    CARILLON_REDIS_URL: stack.redisUrl,
  };
  const roles = [
    role('ingest', ['serve', 'ingest'], urls),
    role('router', ['serve', 'router'], { ...urls, CARILLON_OPS_PORT: ops2 }),
    role('edge', ['serve', 'edge'], { ...urls, CARILLON_OPS_PORT: ops3 }),
    role('providers', ['serve', 'providers'], { ...urls, CARILLON_OPS_PORT: ops4 }),
  ];
  for (const process of roles) await process.start();
  return {
    ...addresses,
    roles,
    kafka: stack.kafka,
    directory,
    async [Symbol.asyncDispose]() {
      await closeAll(roles);
      await stack.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
