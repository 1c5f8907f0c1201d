// A whole mesh in one process of its own, as `carillon up` starts it, on free ports and data that go with it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RoleProcess } from './processes.ts';
import { backendToken, TEST_SECRET, userToken } from './tokens.ts';

export interface RunningMesh extends AsyncDisposable {
  readonly process: RoleProcess;
  readonly ingest: string;
  readonly edge: string;
  readonly ops: string;
  /** Data and log. */
  readonly directory: string;
  /** Of a backend that may do everything. */
  readonly apiKey: string;
  tokenOf(userId: string): Promise<string>;
}

const FREE_PORTS = {
  CARILLON_INGEST_PORT: '0',
  CARILLON_EDGE_PORT: '0',
  CARILLON_ROUTER_PORT: '0',
  CARILLON_WEBHOOK_PORT: '0',
  CARILLON_OPS_PORT: '0',
  CARILLON_LINK_PORT: '0',
  CARILLON_LOG_LEVEL: 'warn',
  CARILLON_JWT_SECRET: TEST_SECRET,
};

/** `env`: more `CARILLON_*` and `OTEL_*` settings. */
export async function startRunningMesh(env: NodeJS.ProcessEnv = {}): Promise<RunningMesh> {
  const directory = await mkdtemp(join(tmpdir(), 'carillon-mesh-'));
  const logFile = join(directory, 'up.log');
  const process = new RoleProcess(
    'up',
    ['up', '--data', join(directory, 'data')],
    { ...FREE_PORTS, ...env },
    logFile,
  );
  await process.start();
  const { ingest, edge, ops } = process.addresses;
  return {
    process,
    ingest: ingest ?? '',
    edge: edge ?? '',
    ops: ops ?? '',
    directory,
    apiKey: await backendToken(),
    tokenOf: (userId) => userToken(userId),
    async [Symbol.asyncDispose]() {
      await process.end('SIGTERM');
      await rm(directory, { recursive: true, force: true });
    },
  };
}
