// The one place where adapters are chosen and wired. Everything opened here is owned by one stack, which closes it in the
// order of a drain: ingest, router, providers, edge, then what they stand on.

import type { EventLog } from '../eventlog/event-log.ts';
import { allTopics } from '../eventlog/topics.ts';
import type { Config } from '../runtime/config.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { openTracing } from '../runtime/tracing.otlp.ts';
import type { Database } from '../storage/database.ts';
import { meshName } from '../storage/mesh-identity.ts';
import { migrate } from '../storage/migrate.ts';
import { ensurePartitions } from '../storage/partitions.ts';
import { openAuthentication } from './authentication.ts';
import type { Cli } from './cli.ts';
import { addressUrl } from './clients.ts';
import { openCluster } from './cluster.ts';
import { keepHouse } from './housekeeping.ts';
import { openMasterKeys } from './master-key.ts';
import { openOpsPort } from './ops-port.ts';
import { listening, nodeName, openRoleDatabase, type Parts } from './parts.ts';
import { databaseCheck, Readiness } from './readiness.ts';
import type { Role } from './roles.ts';
import { leaveNotes } from './runtime-directory.ts';
import { serveEdge } from './serve-edge.ts';
import { serveIngest } from './serve-ingest.ts';
import { providerStages, serveProviders } from './serve-providers.ts';
import { serveRouter } from './serve-router.ts';
import { firstContactError, openEventLog, openPostgres } from './stores.ts';
import { readTls } from './tls.ts';

interface Addresses {
  ingest?: string;
  edge?: string;
  router?: string;
  /** Where routers in other processes reach this edge. */
  links?: string;
  ops: string;
}

export interface Mesh extends AsyncDisposable {
  readonly addresses: Addresses;
  /** Where the data is, for people. */
  readonly keptIn: string;
  /** Where commands of this user find a key. */
  readonly keyFile: string | undefined;
}

export interface MeshOptions {
  cli: Cli;
  config: Config;
  roles: ReadonlySet<Role>;
  log: Log;
}

/** A log that is away does not hold up the start: ingest takes in what comes, and topics are made when they are used. */
async function madeTopics(eventLog: EventLog, cli: Cli, log: Log): Promise<void> {
  const made = eventLog
    .createTopics(allTopics)
    .catch((error: unknown) =>
      log.warn({ err: error }, 'the topics could not be made; they are when they are used'),
    );
  await Promise.race([made, cli.clock.sleep(limits.startWaitMs, cli.signal)]);
}

async function openParts({ cli, config, log }: MeshOptions, owned: AsyncDisposableStack): Promise<Parts> {
  const { clock } = cli;
  const tls = readTls(config);
  const metrics = createMetrics();
  const tracing = owned.use(openTracing({ environment: cli.environment, log }));
  const postgresUrl = await openPostgres(cli, config, owned, log);
  const db = owned.use(openRoleDatabase({ postgresUrl, clock }, 'ops'));
  try {
    await migrate(db);
    await ensurePartitions(db, clock.now());
  } catch (error) {
    throw firstContactError(error, config);
  }
  const common = { db, log, cli, ids: systemIds, metrics, tracing };
  const logDueMs = clock.monotonic() + limits.startWaitMs;
  const { eventLog, handoff } = await openEventLog(config, common, owned);
  await madeTopics(eventLog, cli, log);
  const authentication = await openAuthentication({ cli, config, db, log }, owned);
  const masterKeys = await openMasterKeys({ cli, config, log });
  const { presence, membership } = openCluster(config, common, owned);
  return {
    config,
    clock,
    ids: systemIds,
    log,
    metrics,
    tracing,
    postgresUrl,
    eventLog,
    handoff,
    presence,
    membership,
    ...authentication,
    masterKeys,
    node: nodeName(),
    incarnation: systemIds.uuid(),
    tls,
    logDueMs,
  };
}

/**
 * What each role cannot do without. A log that is away keeps ingest and edges from nothing: records wait, streams replay. Nor
 * does a cluster store that is away keep routers from their work: they go on by the last view, and ask edges for its hints.
 */
const needs: Record<Role, readonly string[]> = {
  ingest: ['database'],
  edge: ['database'],
  router: ['database', 'log'],
  providers: ['database', 'log'],
};

interface ServedRole {
  role: Role;
  addresses: Omit<Addresses, 'ops'>;
  /** What the health of its ports says. */
  setReady(ready: boolean): void;
  /** Tells the others that it goes, so that nothing new comes its way; resolves when they have been told. */
  leave?(): Promise<void>;
}

/** The edge opens first and closes last: what the others hand on meanwhile is still shown. */
async function openRoles(
  parts: Parts,
  roles: ReadonlySet<Role>,
  owned: AsyncDisposableStack,
): Promise<ServedRole[]> {
  const served: ServedRole[] = [];
  // Without Redis there is no process but this one.
  const clustered = parts.config.redisUrl !== undefined;
  const edge = roles.has('edge') ? await serveEdge(parts, clustered, owned) : undefined;
  if (edge) served.push({ ...edge, role: 'edge' });
  if (roles.has('providers')) await serveProviders(parts, owned);
  if (roles.has('router')) {
    const router = await serveRouter(parts, clustered ? undefined : edge?.port, owned);
    served.push({ ...router, role: 'router' });
  }
  if (roles.has('ingest')) served.push({ ...(await serveIngest(parts, owned)), role: 'ingest' });
  return served;
}

/** Lets commands of this user find the key of what is served here. */
async function noteAddresses(
  { environment }: Cli,
  { keyFile }: Parts,
  db: Database,
  addresses: Addresses,
): Promise<Disposable> {
  if (keyFile === undefined) return { [Symbol.dispose]: () => {} };
  const mesh = await meshName(db);
  const notes = (['ingest', 'edge', 'router'] as const).flatMap((role) => {
    const url = addresses[role];
    return url === undefined ? [] : [{ role, url, keyFile, mesh, pid: process.pid }];
  });
  return leaveNotes(environment, notes);
}

/**
 * Starts the roles; resolves when they serve. Disposing the mesh drains it. Throws CONFIG_INVALID, PORT_IN_USE,
 * EMBEDDED_POSTGRES_HELD and the like; what was opened until then is closed.
 */
export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const { cli, config, roles, log } = options;
  const { clock } = cli;
  await using owned = new AsyncDisposableStack();
  const parts = await openParts(options, owned);
  const db = owned.use(openRoleDatabase(parts, 'ops'));
  let served: readonly ServedRole[] = [];
  const readiness: Readiness = owned.use(
    new Readiness({
      checks: {
        database: databaseCheck(db),
        log: () => parts.eventLog.ping(),
        cluster: async () => void (await parts.membership.refresh()),
      },
      needed: [...new Set([...roles].flatMap((role) => needs[role]))],
      clock,
      log,
      onNews: () => {
        for (const { role, setReady } of served) setReady(readiness.answers(...needs[role]));
      },
    }),
  );
  const ops = owned.use(
    await listening(
      config,
      'opsPort',
      openOpsPort({ host: config.host, port: config.opsPort, metrics: parts.metrics, readiness, log }),
    ),
  );
  owned.use(keepHouse({ parts, db, stages: roles.has('providers') ? providerStages : [] }));
  served = await openRoles(parts, roles, owned);
  await readiness.start();
  owned.defer(async () => {
    readiness.drain();
    await Promise.all(served.map((each) => each.leave?.()));
  });
  const addresses: Addresses = Object.assign({}, ...served.map((each) => each.addresses), {
    ops: addressUrl(config.host, ops.port),
  });
  owned.use(await noteAddresses(cli, parts, db, addresses));
  const stack = owned.move();
  return {
    addresses,
    keyFile: parts.keyFile,
    keptIn: config.postgresUrl ? 'PostgreSQL' : config.dataDir,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
