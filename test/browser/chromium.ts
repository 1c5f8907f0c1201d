// A real headless Chromium wherever tests run: the system's, else Debian's out of the cache, each start with a home of its own.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { type DebianProgram, findDebianProgram } from '../../deploy/stack/debian-packages.ts';

const program: DebianProgram = {
  name: 'chromium',
  title: 'Chromium',
  command: 'chromium',
  // NSS opens its modules, and they SQLite, by name, so that the linker does not miss them. A page with text wants a font.
  packages: ['chromium', 'chromium-common', 'libnss3', 'libsqlite3-0', 'fonts-dejavu-core'],
  path: 'usr/lib/chromium/chromium',
};

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

interface ChromiumProgram {
  readonly executablePath: string;
  /** What it is run with, PATH among it; a HOME is for the caller to choose. */
  readonly env: Record<string, string>;
}

/** Throws STACK_UNAVAILABLE, in one sentence, where there is none and none can be fetched. */
export async function findChromium(): Promise<ChromiumProgram> {
  const found = await findDebianProgram(program, (line) => process.stderr.write(`${line}\n`));
  const env: Record<string, string> = { PATH: process.env.PATH ?? '', LC_ALL: 'C.UTF-8', TZ: 'UTC' };
  if (found.libraryPath !== undefined) env.LD_LIBRARY_PATH = found.libraryPath;
  if (found.root !== undefined) {
    env.FONTCONFIG_FILE = join(import.meta.dirname, 'fonts.conf');
    env.XDG_DATA_HOME = join(found.root, 'usr/share');
  }
  return { executablePath: found.command, env };
}

interface RunningChromium extends AsyncDisposable {
  readonly browser: Browser;
}

/** A browser that knows nothing yet. Disposing closes it and removes all that it wrote. */
export async function startChromium(): Promise<RunningChromium> {
  const { executablePath, env } = await findChromium();
  const home = await mkdtemp(join(tmpdir(), 'carillon-chromium-'));
  const remove = () => rm(home, { recursive: true, force: true, maxRetries: 5 });
  try {
    const browser = await chromium.launch({
      executablePath,
      args: ARGUMENTS,
      env: { ...env, HOME: home, XDG_CACHE_HOME: home, XDG_CONFIG_HOME: home },
    });
    return {
      browser,
      async [Symbol.asyncDispose]() {
        await browser.close();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
