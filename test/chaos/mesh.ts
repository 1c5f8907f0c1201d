// The mesh under test, as real processes: all in one, or every role on its own over PostgreSQL, Kafka and Redis.
import { freePorts, type RoleProcess } from '../support/processes.ts';
import { startRunningCluster } from '../support/running-cluster.ts';
import { startRunningMesh } from '../support/running-mesh.ts';

export type Mode = 'embedded' | 'cluster';

export interface MeshUnderTest extends AsyncDisposable {
  readonly ingest: string;
  readonly edge: string;
  readonly roles: readonly RoleProcess[];
  /** Only in a cluster. */
  readonly kafka: { stop(): Promise<void>; start(): Promise<void> } | undefined;
  /** Where the logs of the roles are, while the mesh is up. */
  readonly directory: string;
}

/** A process that was killed comes back on its ports: they are chosen once. */
export async function startMesh(mode: Mode, smtpUrl: string): Promise<MeshUnderTest> {
  const env = {
    CARILLON_SMTP_URL: smtpUrl,
    CARILLON_PROVIDER_RETRY_MS: '500,1000,2000,4000,8000,15000,30000',
  };
  if (mode === 'cluster') {
    const cluster = await startRunningCluster(env);
    const { ingest, edge, roles, directory } = cluster;
    return {
      ingest,
      edge,
      roles,
      directory,
      kafka: cluster.stack.kafka,
      [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
    };
  }
  const [ingestPort, edgePort, routerPort, webhookPort, opsPort] = (await freePorts(5)).map(String);
  const mesh = await startRunningMesh({
    ...env,
    CARILLON_INGEST_PORT: ingestPort,
    CARILLON_EDGE_PORT: edgePort,
    CARILLON_ROUTER_PORT: routerPort,
    CARILLON_WEBHOOK_PORT: webhookPort,
    CARILLON_OPS_PORT: opsPort,
  });
  const { ingest, edge, process, directory } = mesh;
  return {
    ingest,
    edge,
    roles: [process],
    directory,
    kafka: undefined,
    [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
  };
}
