// The files of one embedded PostgreSQL: made once by initdb and put in place whole, then started with settings of ours alone.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CarillonError } from '../runtime/errors.ts';
import { type Native, usableNative } from './embedded-native.ts';
import { type Account, serverAccount } from './embedded-uid.ts';

export interface Cluster {
  /** What PostgreSQL calls its data directory, absolute. */
  readonly pgdata: string;
  readonly native: Native;
  /** Whom the server runs as; undefined: we ourselves. */
  readonly account: Account | undefined;
  /** Made just now: the database is still to come. */
  readonly fresh: boolean;
}

const run = promisify(execFile);

/** The role and the database that every cluster has. */
export const DATABASE = 'carillon';

/** Nothing of our own environment: PGPORT, PGOPTIONS or a locale must not reach the server. */
export const serverEnvironment = { LC_ALL: 'C', PATH: '/usr/local/bin:/usr/bin:/bin' };

/**
 * How the server names its own directory. It is started inside it, and on Linux this link leads there without a look at the
 * directories above, which another account may not enter (a project below /root) and whose names may be too long.
 */
const ownDirectory = (pgdata: string): string => (process.platform === 'linux' ? '/proc/self/cwd' : pgdata);

const DRAFT = 'initdb-';

async function initialise(
  dataDir: string,
  pgdata: string,
  native: Native,
  account: Account | undefined,
): Promise<void> {
  const draft = await mkdtemp(join(dataDir, DRAFT));
  try {
    if (account) await chown(draft, account.uid, account.gid);
    const args = [
      '-D',
      ownDirectory(draft),
      '-U',
      DATABASE,
      '--auth-local=trust',
      '--auth-host=scram-sha-256',
    ];
    // The built-in provider sorts by code point and knows Unicode's letters, on every machine alike and whatever its libc.
    args.push(
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
    );
    await run(join(native.directory, 'bin', 'initdb'), args, {
      cwd: draft,
      env: serverEnvironment,
      ...account,
    });
    await rename(draft, pgdata);
  } catch (cause) {
    const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    const reason = said || (cause instanceof Error ? cause.message : String(cause));
    throw new CarillonError(
      'EMBEDDED_POSTGRES_UNAVAILABLE',
      `PostgreSQL could not lay out its files in ${dataDir}: ${reason}`,
      { cause },
    );
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function checkVersion(pgdata: string, native: Native): Promise<boolean> {
  const written = await readFile(join(pgdata, 'PG_VERSION'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (written === undefined) return false;
  const major = native.version.split('.')[0];
  if (written.trim() === major) return true;
  throw new CarillonError(
    'EMBEDDED_POSTGRES_UNAVAILABLE',
    `The data in ${pgdata} was written by PostgreSQL ${written.trim()}, and the binaries here are ${major}: move the data over with pg_dump, or choose another data directory.`,
  );
}

/** Makes the directories that lead to the data; only what is made here gets a mode. */
export async function makeDataDirectory(dataDir: string): Promise<void> {
  // One mode for a whole recursive mkdir would close the parents to the server's account; each parent gets 0711.
  const made = await mkdir(dataDir, { recursive: true, mode: 0o711 });
  if (made) await chmod(dataDir, 0o711);
}

/** The cluster in `dataDir/pgdata`, made when there is none (0.5 s). The directory must be held, see embedded-lock.ts. */
export async function openCluster(dataDir: string): Promise<Cluster> {
  const pgdata = join(await realpath(dataDir), 'pgdata');
  const account = await serverAccount(pgdata);
  const native = await usableNative(account);
  for (const name of await readdir(dataDir)) {
    // What a start that was killed half way through has left; its initdb may still be writing, so that a rest may stay.
    if (name.startsWith(DRAFT))
      await rm(join(dataDir, name), { recursive: true, force: true }).catch(() => undefined);
  }
  const fresh = !(await checkVersion(pgdata, native));
  if (fresh) await initialise(dataDir, pgdata, native, account);
  return { pgdata, native, account, fresh };
}

/** The command line of the server. The socket lies in the data directory, which only its owner (and root) can enter. */
export function serverArguments(cluster: Cluster, port: number, tcp: boolean): string[] {
  const settings: Record<string, string> = {
    listen_addresses: tcp ? '127.0.0.1' : '',
    port: String(port),
    unix_socket_directories: '.',
    unix_socket_permissions: '0700',
    max_connections: '100',
    shared_buffers: '64MB',
    // What "accepted" rests on.
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    wal_level: 'replica',
    max_wal_size: '1GB',
    checkpoint_timeout: '5min',
    // Short statements only: workers and compilation cost more than they bring, and /dev/shm is 64 MB in a container.
    max_parallel_workers_per_gather: '0',
    max_parallel_maintenance_workers: '0',
    max_logical_replication_workers: '0',
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    // The caller gets its errors itself; statements and keys of users stay out of the log.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_checkpoints: 'off',
    log_line_prefix: '[%p] ',
  };
  const list = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return ['-D', ownDirectory(cluster.pgdata), ...list];
}

/** A client's path to a socket is at most 107 bytes on Linux and 103 on macOS. */
const SOCKET_PATH_BYTES = 103;

/** The directory a client connects through: the data itself, or for a long path a short link to it. Disposing removes the link. */
export async function socketDirectory(
  pgdata: string,
  port: number,
): Promise<{ path: string } & AsyncDisposable> {
  if (Buffer.byteLength(join(pgdata, `.s.PGSQL.${port}`)) <= SOCKET_PATH_BYTES) {
    return { path: pgdata, [Symbol.asyncDispose]: async () => undefined };
  }
  const short = Buffer.byteLength(tmpdir()) <= 50 ? tmpdir() : '/tmp';
  const directory = await mkdtemp(join(short, 'carillon-'));
  const path = join(directory, 's');
  await symlink(pgdata, path);
  return { path, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}

/** The password for connections over TCP, made once and kept beside the data for us alone. */
export async function tcpPassword(dataDir: string): Promise<string> {
  const path = join(dataDir, 'tcp-password');
  await writeFile(path, randomBytes(16).toString('hex'), { flag: 'wx', mode: 0o600 }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    },
  );
  return await readFile(path, 'utf8');
}

/** The pid in postmaster.pid, if that process sits in this directory: a server whose guard and parent were both killed. */
export async function orphanedServer(pgdata: string): Promise<number | undefined> {
  const text = await readFile(join(pgdata, 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number(text.split('\n')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 1) return undefined;
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  return cwd === pgdata ? pid : undefined;
}
