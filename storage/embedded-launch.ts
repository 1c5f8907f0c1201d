// Brings the postmaster up on a directory we hold: one attempt after the other while the old one still goes down.
import { join } from 'node:path';
import { systemClock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { type GuardedProcess, spawnGuarded } from '../runtime/guarded-process.ts';
import { limits } from '../runtime/limits.ts';
import { type Cluster, orphanedServer, serverEnvironment } from './embedded-cluster.ts';

export interface LaunchOptions {
  /** Gives up the start. */
  readonly signal?: AbortSignal;
  /** Gets the server's own lines. */
  readonly log?: (line: string) => void;
}

const READY = 'database system is ready to accept connections';
const HELD =
  /lock file "postmaster\.pid" already exists|pre-existing shared memory block|lock file .* is empty/;

/** One attempt to start the server; resolves with it, or with the lines it ended with. */
async function launch(
  cluster: Cluster,
  args: string[],
  options: LaunchOptions,
): Promise<GuardedProcess | readonly string[]> {
  const { promise: ready, resolve } = Promise.withResolvers<'ready'>();
  const server = await spawnGuarded({
    command: join(cluster.native.directory, 'bin', 'postgres'),
    args,
    cwd: cluster.pgdata,
    env: serverEnvironment,
    account: cluster.account,
    stopSignal: 'INT',
    onLine: (line) => {
      if (line.includes(READY)) resolve('ready');
      options.log?.(line);
    },
  });
  const signals = [AbortSignal.timeout(limits.embeddedStartMs), ...(options.signal ? [options.signal] : [])];
  const given = AbortSignal.any(signals);
  const aborted = Promise.withResolvers<'aborted'>();
  const onAbort = () => aborted.resolve('aborted');
  given.addEventListener('abort', onAbort, { once: true });
  if (given.aborted) onAbort();
  try {
    const outcome = await Promise.race([ready, server.exited, aborted.promise]);
    if (outcome === 'ready') return server;
    if (outcome !== 'aborted') return outcome;
  } finally {
    given.removeEventListener('abort', onAbort);
  }
  await server.stop();
  options.signal?.throwIfAborted();
  throw new CarillonError(
    'EMBEDDED_POSTGRES_UNAVAILABLE',
    `PostgreSQL was not ready within ${limits.embeddedStartMs / 1000} s.`,
  );
}

/**
 * Starts the server and resolves when it takes connections; waits while the one before still goes down.
 * Throws EMBEDDED_POSTGRES_HELD when that one stays, EMBEDDED_POSTGRES_UNAVAILABLE with the server's last lines.
 */
export async function launchWhenFree(
  cluster: Cluster,
  args: string[],
  options: LaunchOptions,
): Promise<GuardedProcess> {
  const began = systemClock.monotonic();
  let asked: number | undefined;
  for (;;) {
    options.signal?.throwIfAborted();
    const outcome = await launch(cluster, args, options);
    if ('pid' in outcome) return outcome;
    const waitedMs = systemClock.monotonic() - began;
    const orphan = await orphanedServer(cluster.pgdata);
    if (!outcome.some((line) => HELD.test(line))) {
      throw new CarillonError(
        'EMBEDDED_POSTGRES_UNAVAILABLE',
        `PostgreSQL ended as it started: ${outcome.slice(-5).join(' / ') || 'it said nothing'}`,
      );
    }
    if (waitedMs > limits.embeddedHeldMs) {
      throw new CarillonError(
        'EMBEDDED_POSTGRES_HELD',
        `The data in ${cluster.pgdata} is held by ${orphan ? `the PostgreSQL with pid ${orphan}` : 'another PostgreSQL'}, which does not go down: stop it, or choose another data directory.`,
      );
    }
    // We hold the directory's lock, so nobody is there to stop this one any more.
    if (orphan !== undefined && orphan !== asked && waitedMs > limits.embeddedOrphanMs) {
      options.log?.(`asking the PostgreSQL ${orphan}, left over without a parent, to end`);
      process.kill(orphan, 'SIGINT');
      asked = orphan;
    }
    await systemClock.sleep(limits.embeddedHeldPollMs, options.signal);
  }
}

/** A fast shutdown, and if that takes too long an immediate one, which the next start recovers from. */
export async function shutDown(server: GuardedProcess): Promise<void> {
  using _late = systemClock.after(limits.embeddedStopMs, () => server.signal('SIGQUIT'));
  await server.stop();
}
