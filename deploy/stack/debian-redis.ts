// Redis out of Debian's own packages, unpacked into the cache with the libraries it needs: nothing is installed, no root is needed.
import { execFile } from 'node:child_process';
import { access, mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { cacheDirectory, findProgram, intoCache } from './cache.ts';

export interface RedisProgram {
  readonly command: string;
  /** Where the loader finds the libraries; undefined: the system's are enough. */
  readonly libraryPath: string | undefined;
}

const run = promisify(execFile);
const NAME = `redis-debian-${process.arch}`;

async function libraryDirectories(root: string): Promise<string> {
  const files = await readdir(root, { recursive: true });
  return [
    ...new Set(files.filter((path) => /\.so(\.|$)/.test(path)).map((path) => join(root, dirname(path)))),
  ].join(':');
}

async function missingLibraries(command: string, libraryPath: string): Promise<string[]> {
  const { stdout } = await run('ldd', [command], {
    env: { PATH: process.env.PATH, LD_LIBRARY_PATH: libraryPath, LC_ALL: 'C' },
  });
  return stdout
    .split('\n')
    .filter((line) => line.includes('not found'))
    .map((line) => line.trim().split(' ')[0] ?? '');
}

/** Lists of packages of our own, for a machine that has none and where we may not write the system's. */
async function ownLists(directory: string): Promise<string[]> {
  const lists = join(directory, '.apt');
  await mkdir(join(lists, 'lists', 'partial'), { recursive: true });
  await mkdir(join(lists, 'cache', 'archives', 'partial'), { recursive: true });
  const options = [
    '-o',
    `Dir::State::Lists=${lists}/lists`,
    '-o',
    `Dir::Cache=${lists}/cache`,
    '-o',
    'Debug::NoLocking=1',
  ];
  await run('apt-get', [...options, '-q', 'update'], { timeout: limits.stackFetchMs, maxBuffer: 1 << 24 });
  return options;
}

/** The packages of libraries that a package depends on. The C library is the system's own. */
async function libraryPackages(deb: string): Promise<string[]> {
  const { stdout } = await run('dpkg-deb', ['-f', deb, 'Pre-Depends', 'Depends']);
  const names = stdout
    .replace(/^[\w-]+:/gm, ',')
    .split(/[,|]/)
    .map((text) => text.trim().split(/[ (:]/)[0] ?? '');
  return [...new Set(names.filter((name) => name.startsWith('lib') && name !== 'libc6'))];
}

async function fill(directory: string): Promise<void> {
  const debs = join(directory, '.debs');
  await mkdir(debs);
  let options: string[] = [];
  // Not asked for as another user, who could not write into our directory.
  const download = (names: string[]) =>
    run('apt-get', ['-o', 'APT::Sandbox::User=', ...options, '-q', 'download', ...names], {
      cwd: debs,
      timeout: limits.stackFetchMs,
    });
  let wanted = ['redis-server', 'redis-tools'];
  await download(wanted).catch(async () => {
    options = await ownLists(directory);
    await download(wanted);
  });
  const seen = new Set<string>();
  // Libraries of libraries: three levels are one more than Redis has had.
  for (let level = 0; level < 3; level++) {
    const fresh = (await readdir(debs)).filter((name) => name.endsWith('.deb') && !seen.has(name));
    for (const name of fresh) await run('dpkg', ['-x', join(debs, name), directory]);
    const missing = await missingLibraries(
      join(directory, 'usr/bin/redis-server'),
      await libraryDirectories(directory),
    );
    if (missing.length === 0) break;
    for (const name of fresh) seen.add(name);
    wanted = (await Promise.all(fresh.map((name) => libraryPackages(join(debs, name))))).flat();
    if (wanted.length === 0) throw new Error(`no package is known that brings ${missing.join(', ')}`);
    await download([...new Set(wanted)]);
  }
  await rm(debs, { recursive: true, force: true });
  await rm(join(directory, '.apt'), { recursive: true, force: true });
}

/** `redis-server` on PATH, else Debian's, fetched once. Throws STACK_UNAVAILABLE where there is neither. */
export async function findRedis(log: (line: string) => void): Promise<RedisProgram> {
  const onPath = await findProgram('redis-server');
  if (onPath) return { command: onPath, libraryPath: undefined };
  const root = join(cacheDirectory(), NAME);
  const command = join(root, 'usr/bin/redis-server');
  if (
    !(await access(command).then(
      () => true,
      () => false,
    ))
  ) {
    const advice = 'install Redis so that redis-server is on PATH';
    if (!(await findProgram('apt-get')) || !(await findProgram('dpkg'))) {
      throw new CarillonError(
        'STACK_UNAVAILABLE',
        `There is no redis-server on PATH, and no apt-get to fetch Debian's package with: ${advice}.`,
      );
    }
    log(`redis: fetching Debian's packages into ${root}`);
    await intoCache(NAME, fill).catch((cause) => {
      const line =
        String(cause.stderr || cause.message)
          .split('\n')
          .find((text) => /^E:/.test(text)) ?? cause.message.split('\n')[0];
      throw new CarillonError(
        'STACK_UNAVAILABLE',
        `There is no redis-server on PATH, and Debian's package cannot be had (${line}): ${advice}.`,
        { cause },
      );
    });
  }
  return { command, libraryPath: (await libraryDirectories(root)) || undefined };
}
