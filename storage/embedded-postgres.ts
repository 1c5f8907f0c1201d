// A real PostgreSQL of our own: there in a second, fsync on, gone with its parent whatever ends that, its data kept.
import pg from 'pg';
import { systemClock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { GuardedProcess } from '../runtime/guarded-process.ts';
import { limits } from '../runtime/limits.ts';
import {
  DATABASE,
  makeDataDirectory,
  openCluster,
  serverArguments,
  socketDirectory,
  tcpPassword,
} from './embedded-cluster.ts';
import { type LaunchOptions, launchWhenFree, shutDown } from './embedded-launch.ts';
import { holdDirectory } from './embedded-lock.ts';

export interface EmbeddedPostgres extends AsyncDisposable {
  /** For `pg` and for libpq: over the socket in the data directory, or over TCP when a port was asked for. */
  readonly url: string;
  /** Of the postmaster that runs now; another one after a restart. */
  readonly pid: number;
  /** Fast shutdown; resolves when it is gone. Any number of times. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions extends LaunchOptions {
  /** Holds the cluster and its lock; made when it is not there. */
  readonly dataDir: string;
  /** Listen on 127.0.0.1 too, with a password that the url carries. Without it there is the socket only. */
  readonly tcpPort?: number;
  /** Gives up the start. Once started, only `stop` ends it: a drain still needs its database. */
  readonly signal?: AbortSignal;
}

/** Makes sure of the database, and of the password when there is TCP; the first statement also proves that it answers. */
export async function prepareDatabase(
  host: string,
  port: number,
  password?: string,
  fresh = false,
): Promise<void> {
  const connect = async (database: string) => {
    const client = new pg.Client({ host, port, database, user: DATABASE, ssl: false });
    // A server that dies under us shows in the statement that waits.
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  // 3D000: no such database. The first start was cut short right after initdb.
  const missing = (error: unknown) => error instanceof Error && 'code' in error && error.code === '3D000';
  const client = await connect(fresh ? 'postgres' : DATABASE).catch((error) => {
    if (!missing(error)) throw error;
    return connect('postgres');
  });
  try {
    if (client.database === 'postgres') await client.query(`CREATE DATABASE ${DATABASE}`);
    if (password === undefined) await client.query('SELECT 1');
    else await client.query(`ALTER ROLE ${DATABASE} PASSWORD ${client.escapeLiteral(password)}`);
  } finally {
    await client.end();
  }
}

class Embedded implements EmbeddedPostgres {
  readonly url: string;
  #server: GuardedProcess;
  #stopping: Promise<void> | undefined;
  #restarted: number[] = [];
  readonly #again: () => Promise<GuardedProcess>;
  readonly #owned: AsyncDisposableStack;
  readonly #log: (line: string) => void;
  #supervision: Promise<void>;

  constructor(
    url: string,
    server: GuardedProcess,
    again: () => Promise<GuardedProcess>,
    owned: AsyncDisposableStack,
    log: (line: string) => void,
  ) {
    this.url = url;
    this.#server = server;
    server.release();
    this.#again = again;
    this.#owned = owned;
    this.#log = log;
    this.#supervision = this.#supervise();
  }

  get pid(): number {
    return this.#server.pid;
  }

  async #supervise(): Promise<void> {
    for (;;) {
      await this.#server.exited;
      if (this.#stopping) return;
      const nowMs = systemClock.monotonic();
      this.#restarted = this.#restarted.filter((atMs) => nowMs - atMs < limits.embeddedRestartWindowMs);
      if (this.#restarted.length >= limits.embeddedRestartsCount) {
        this.#log(
          `PostgreSQL died ${limits.embeddedRestartsCount + 1} times within ${limits.embeddedRestartWindowMs / 1000} s; it is left down`,
        );
        return;
      }
      this.#restarted.push(nowMs);
      this.#log('PostgreSQL died; starting it again');
      try {
        this.#server = await this.#again();
        if (this.#stopping) return await shutDown(this.#server);
        this.#server.release();
      } catch (error) {
        this.#log(
          `PostgreSQL does not start again: ${error instanceof Error ? error.message : String(error)}`,
        );
        return;
      }
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await shutDown(this.#server);
    // It may be in the middle of a restart: then it stops what it has started.
    await this.#supervision;
    await this.#owned.disposeAsync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/**
 * Starts the PostgreSQL of a data directory (about 0.7 s the first time, then 50-100 ms), with a role and a database `carillon`.
 * Throws EMBEDDED_POSTGRES_HELD when another process holds the directory, and EMBEDDED_POSTGRES_UNAVAILABLE with the cause
 * in one sentence when it cannot run here; the signal's reason when that aborts.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  options.signal?.throwIfAborted();
  await using owned = new AsyncDisposableStack();
  await makeDataDirectory(options.dataDir);
  owned.use(await holdDirectory(options.dataDir));
  const cluster = await openCluster(options.dataDir);
  const port = options.tcpPort ?? 5432;
  const args = serverArguments(cluster, port, options.tcpPort !== undefined);
  const socket = owned.use(await socketDirectory(cluster.pgdata, port));
  const server = await launchWhenFree(cluster, args, options);
  owned.defer(() => server.stop());
  const password = options.tcpPort === undefined ? undefined : await tcpPassword(options.dataDir);
  await prepareDatabase(socket.path, port, password, cluster.fresh).catch((cause) => {
    throw new CarillonError(
      'EMBEDDED_POSTGRES_UNAVAILABLE',
      `PostgreSQL started and does not answer: ${cause.message}`,
      { cause },
    );
  });
  options.signal?.throwIfAborted();
  const where =
    password === undefined
      ? `${DATABASE}@${encodeURIComponent(socket.path)}`
      : `${DATABASE}:${password}@127.0.0.1`;
  const url = `postgres://${where}:${port}/${DATABASE}?sslmode=disable`;
  const { signal: _, ...lasting } = options;
  return new Embedded(
    url,
    server,
    () => launchWhenFree(cluster, args, lasting),
    owned.move(),
    options.log ?? (() => undefined),
  );
}
