// A program out of Debian's own packages, unpacked into the cache with the libraries it needs: nothing is installed, no root is needed.
import { execFile } from 'node:child_process';
import { access, mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { cacheDirectory, findProgram, intoCache } from './cache.ts';
import { waitForTurn } from './turn.ts';

export interface DebianProgram {
  /** Of its directory in the cache. */
  readonly name: string;
  /** What people call it. */
  readonly title: string;
  /** Taken from PATH when it is there. */
  readonly command: string;
  /** Unpacked whatever the system has; the libraries that the linker misses then come by themselves. */
  readonly packages: readonly string[];
  /** The program itself below the unpacked packages. */
  readonly path: string;
}

export interface FoundProgram {
  readonly command: string;
  /** Where the packages were unpacked; undefined: it is the system's own program. */
  readonly root: string | undefined;
  /** Where the loader finds the libraries; undefined: the system's are enough. */
  readonly libraryPath: string | undefined;
}

const run = promisify(execFile);

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

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

/** The first line in which apt says what is wrong. */
function complaint(text: string): string | undefined {
  return text.split('\n').find((line) => /^E:|^W: Failed/.test(line));
}

/** Names in a Depends field, all alternatives of each. */
function dependencies(fields: string): string[] {
  return fields
    .split(/[,|]/)
    .map((text) => text.trim().split(/[ (:]/)[0] ?? '')
    .filter(Boolean);
}

/** apt-get and apt-cache on the system's lists of packages, or on our own where those are missing or too old. */
class Apt {
  readonly #directory: string;
  readonly #debs: string;
  // Not asked for as another user, who could not write into our directory.
  #options: readonly string[] = ['-o', 'APT::Sandbox::User='];
  #ownLists = false;

  constructor(directory: string, debs: string) {
    this.#directory = directory;
    this.#debs = debs;
  }

  /** What went wrong on the way, which apt-get does not count as a failure. */
  async #takeOwnLists(): Promise<string> {
    const lists = join(this.#directory, 'lists');
    const cache = join(this.#directory, 'cache');
    await mkdir(join(lists, 'partial'), { recursive: true });
    await mkdir(join(cache, 'archives', 'partial'), { recursive: true });
    const settings = [`Dir::State::Lists=${lists}`, `Dir::Cache=${cache}`, 'Debug::NoLocking=1'];
    this.#options = [...this.#options, ...settings.flatMap((setting) => ['-o', setting])];
    this.#ownLists = true;
    return (await this.#run('apt-get', '-q', 'update')).stderr;
  }

  #run(program: 'apt-get' | 'apt-cache', ...args: string[]): Promise<{ stdout: string; stderr: string }> {
    return run(program, [...this.#options, ...args], {
      cwd: this.#debs,
      env: { ...process.env, LC_ALL: 'C' },
      timeout: limits.stackFetchMs,
      maxBuffer: 1 << 24,
    });
  }

  /** Puts the packages into `debs`. */
  async download(names: readonly string[]): Promise<void> {
    const ask = () => this.#run('apt-get', '-q', 'download', ...names);
    await ask().catch(async (error) => {
      if (this.#ownLists) throw error;
      const warnings = await this.#takeOwnLists();
      await ask().catch((cause) => {
        throw new Error([complaint(cause.stderr), complaint(warnings)].filter(Boolean).join('; '), { cause });
      });
    });
  }

  /**
   * The packages of libraries that these depend on. The C library is the system's own; names that only stand for
   * other packages have none to unpack.
   */
  async librariesOf(names: readonly string[]): Promise<string[]> {
    const { stdout: fields } = await this.#run('apt-cache', 'show', '--no-all-versions', ...names);
    const wanted = [...fields.matchAll(/^(?:Pre-)?Depends: (.*)$/gm)]
      .flatMap((match) => dependencies(match[1] ?? ''))
      .filter((name) => name.startsWith('lib') && name !== 'libc6' && !names.includes(name));
    if (wanted.length === 0) return [];
    const known = await this.#run('apt-cache', 'show', '--no-all-versions', ...new Set(wanted));
    return [...new Set([...known.stdout.matchAll(/^Package: (.*)$/gm)].map((match) => match[1] ?? ''))];
  }
}

async function unpack(program: DebianProgram, directory: string): Promise<void> {
  const debs = join(directory, '.debs');
  const lists = join(directory, '.apt');
  await mkdir(debs);
  await mkdir(lists);
  const apt = new Apt(lists, debs);
  const seen = new Set<string>();
  let fresh = [...program.packages];
  let missing: string[] = [];
  // The libraries of libraries of libraries: Chromium on a system with nothing but apt on it needs four levels.
  for (let level = 0; level <= limits.stackLibraryLevelsCount; level++) {
    await apt.download(fresh);
    for (const name of await readdir(debs)) {
      if (!name.endsWith('.deb')) continue;
      await run('dpkg', ['-x', join(debs, name), directory]);
      await rm(join(debs, name));
    }
    for (const name of fresh) seen.add(name);
    missing = await missingLibraries(join(directory, program.path), await libraryDirectories(directory));
    if (missing.length === 0) break;
    fresh = (await apt.librariesOf(fresh)).filter((name) => !seen.has(name));
    if (fresh.length === 0) break;
  }
  if (missing.length > 0) throw new Error(`no package is known that brings ${missing.join(', ')}`);
  // Debian keeps some directories to root; nothing here is secret, and a cache may be shared.
  await run('chmod', ['-R', 'u+rwX,a+rX', directory]);
  await rm(debs, { recursive: true, force: true });
  await rm(lists, { recursive: true, force: true });
}

async function fetchOnce(program: DebianProgram, name: string, log: (line: string) => void): Promise<void> {
  // Whoever comes second waits here instead of fetching the same again, and must not replace what the first one now runs.
  const turn = join(cacheDirectory(), `.${name}.turn`);
  await using _held = await waitForTurn(turn, limits.stackFetchMs);
  const root = join(cacheDirectory(), name);
  if (await isThere(join(root, program.path))) return;
  log(`${program.name}: fetching Debian's packages into ${root}`);
  await intoCache(name, (directory) => unpack(program, directory));
}

/** The program on PATH, else Debian's, fetched once. Throws STACK_UNAVAILABLE where there is neither. */
export async function findDebianProgram(
  program: DebianProgram,
  log: (line: string) => void,
): Promise<FoundProgram> {
  const onPath = await findProgram(program.command);
  if (onPath) return { command: onPath, root: undefined, libraryPath: undefined };
  const name = `${program.name}-debian-${process.arch}`;
  const root = join(cacheDirectory(), name);
  const command = join(root, program.path);
  if (!(await isThere(command))) {
    const advice = `install ${program.title} so that ${program.command} is on PATH`;
    if (!(await findProgram('apt-get')) || !(await findProgram('dpkg'))) {
      throw new CarillonError(
        'STACK_UNAVAILABLE',
        `There is no ${program.command} on PATH, and no apt-get to fetch Debian's package with: ${advice}.`,
      );
    }
    await fetchOnce(program, name, log).catch((cause) => {
      const line = complaint(String(cause.stderr ?? '')) ?? cause.message.split('\n')[0];
      throw new CarillonError(
        'STACK_UNAVAILABLE',
        `There is no ${program.command} on PATH, and Debian's package cannot be had (${line}): ${advice}.`,
        { cause },
      );
    });
  }
  return { command, root, libraryPath: (await libraryDirectories(root)) || undefined };
}
