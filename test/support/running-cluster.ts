// A whole mesh with every role in processes of their own, over a PostgreSQL, Kafka and Redis that go with it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../deploy/stack/ports.ts';
import { type Stack, startStack } from '../../deploy/stack/stack.ts';
import { RoleProcess } from './processes.ts';
import { backendToken, TEST_SECRET, userToken } from './tokens.ts';

export type RoleName = 'ingest' | 'router' | 'edge' | 'providers';

/** How many processes of each role. */
export type RoleCounts = Readonly<Record<RoleName, number>>;

export const ONE_OF_EACH: RoleCounts = { ingest: 1, router: 1, edge: 1, providers: 1 };

/** Ports that a process of the role listens on; they stay the same over its restarts. */
const portsOf: Record<RoleName, readonly string[]> = {
  ingest: ['CARILLON_INGEST_PORT'],
  router: ['CARILLON_ROUTER_PORT'],
  edge: ['CARILLON_EDGE_PORT', 'CARILLON_LINK_PORT'],
  providers: ['CARILLON_WEBHOOK_PORT'],
};

interface RunningRole {
  readonly role: RoleName;
  readonly process: RoleProcess;
  /** Where it is served; empty for providers. */
  readonly url: string;
}

export interface RunningCluster extends AsyncDisposable {
  /** Of the first process of the role. */
  readonly ingest: string;
  readonly edge: string;
  /** The first of a role is named for it (`edge`), the others are numbered (`edge-2`). */
  readonly roles: readonly RoleProcess[];
  readonly members: readonly RunningRole[];
  readonly stack: Stack;
  readonly directory: string;
  /** Of a backend that may do everything. */
  readonly apiKey: string;
  tokenOf(userId: string): Promise<string>;
  /** One more process of the role, on ports of its own, not started yet; it goes with the cluster. */
  add(role: RoleName): Promise<RunningRole>;
}

/** `env`: more `CARILLON_*` and `OTEL_*` settings, for every role. */
export async function startRunningCluster(
  env: NodeJS.ProcessEnv = {},
  counts: RoleCounts = ONE_OF_EACH,
): Promise<RunningCluster> {
  await using opened = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'carillon-cluster-'));
  opened.defer(() => rm(directory, { recursive: true, force: true }));
  const stack = opened.use(await startStack({}));
  const shared = {
    CARILLON_POSTGRES_URL: stack.postgresUrl,
    CARILLON_KAFKA_BROKERS: stack.kafkaBrokers,
    CARILLON_REDIS_URL: stack.redisUrl,
    CARILLON_OPS_PORT: '0',
    CARILLON_LOG_LEVEL: 'warn',
    CARILLON_JWT_SECRET: TEST_SECRET,
    CARILLON_DATA_DIR: join(directory, 'data'),
    // Ten processes compile the same files, and those that are restarted do so again: a third of what a start costs. It is
    // where Node keeps it by default, over all runs.
    NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'),
    ...env,
  };
  const members: RunningRole[] = [];
  const taken = new Set<number>();
  opened.defer(async () => {
    await Promise.all(members.map(({ process }) => process.end('SIGTERM')));
  });
  const add = async (role: RoleName): Promise<RunningRole> => {
    const number = members.filter((member) => member.role === role).length + 1;
    const name = number === 1 ? role : `${role}-${number}`;
    // A port that was given away is free until its process starts.
    const ports = (await freePorts(portsOf[role].length + taken.size))
      .filter((port) => !taken.has(port))
      .slice(0, portsOf[role].length);
    for (const port of ports) taken.add(port);
    const settings = Object.fromEntries(portsOf[role].map((key, index) => [key, String(ports[index])]));
    const process = new RoleProcess(
      name,
      ['serve', role],
      { ...shared, ...settings },
      join(directory, `${name}.log`),
    );
    const member = { role, process, url: role === 'providers' ? '' : `http://127.0.0.1:${ports[0]}` };
    members.push(member);
    return member;
  };
  for (const role of ['ingest', 'router', 'edge', 'providers'] as const)
    for (let index = 0; index < counts[role]; index++) await add(role);
  await Promise.all(members.map(({ process }) => process.start()));
  const urlOf = (role: RoleName) => members.find((member) => member.role === role)?.url ?? '';
  const owned = opened.move();
  return {
    ingest: urlOf('ingest'),
    edge: urlOf('edge'),
    get roles() {
      return members.map(({ process }) => process);
    },
    members,
    stack,
    directory,
    apiKey: await backendToken(),
    tokenOf: (userId) => userToken(userId),
    add,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
