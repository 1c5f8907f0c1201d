// Runs roles until it is told to stop: says where they listen, then drains within the time it has.

import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { createLog, type Log } from '../runtime/log.ts';
import { type Cli, loadConfig, type OutputOptions, printJson } from './cli.ts';
import { type Mesh, startMesh } from './compose.ts';
import { ReadableLog } from './readable-log.ts';
import { checkRoles, type Role } from './roles.ts';

export interface RunOptions extends OutputOptions {
  data?: string;
}

const WHAT: Record<string, string> = {
  ingest: 'backends: gRPC, Connect, JSON',
  edge: 'clients: Connect, gRPC-Web, gRPC',
  router: 'users and edges: gRPC, Connect, JSON',
  links: 'routers reach this edge here',
  ops: '/healthz /readyz /metrics',
};

function announce(cli: Cli, mesh: Mesh, startedMs: number, json: boolean | undefined): void {
  if (json) {
    printJson(cli, { addresses: mesh.addresses });
    return;
  }
  const { paint, out } = cli.terminal;
  out(
    `${paint('bold', 'Carillon')} is up, after ${((cli.clock.monotonic() - startedMs) / 1_000).toFixed(1)} s.\n`,
  );
  for (const [name, url] of Object.entries(mesh.addresses))
    out(`  ${name.padEnd(8)} ${paint('cyan', url.padEnd(24))} ${paint('dim', WHAT[name] ?? '')}\n`);
  out(`  ${'kept in'.padEnd(8)} ${mesh.keptIn}\nCtrl-C drains and ends.\n`);
}

/** Takes at most `limits.drainMs`; throws when that was not enough. */
async function drain(cli: Cli, mesh: Mesh, log: Log): Promise<void> {
  const given = new AbortController();
  const late = cli.clock.sleep(limits.drainMs, given.signal).then(() => !given.signal.aborted);
  const startedMs = cli.clock.monotonic();
  const drained = mesh[Symbol.asyncDispose]().then(() => false);
  try {
    if (await Promise.race([drained, late]))
      throw new CarillonError(
        'INTERNAL',
        `The drain took longer than ${limits.drainMs / 1_000} s and was cut.`,
      );
    log.info({ ms: Math.round(cli.clock.monotonic() - startedMs) }, 'drained');
  } finally {
    given.abort();
  }
}

/**
 * Starts the roles, prints their addresses (with `--json` as the first line), calls `meanwhile`, and drains when the
 * signal of `cli` aborts. A failure of `meanwhile` drains too, and is thrown.
 */
export async function runMesh(
  cli: Cli,
  roles: ReadonlySet<Role>,
  options: RunOptions,
  meanwhile?: (mesh: Mesh) => Promise<void>,
): Promise<void> {
  const startedMs = cli.clock.monotonic();
  const loaded = loadConfig(cli, { dataDir: options.data });
  checkRoles(roles, loaded.config);
  // For a person the words of the command are the log; what goes wrong is still said, in a line to read.
  const readable =
    !options.json && (cli.terminal.watched || meanwhile) ? new ReadableLog(cli.terminal) : undefined;
  const quiet = readable && loaded.origins.logLevel === 'default';
  const log = createLog({ level: quiet ? 'warn' : loaded.config.logLevel, destination: readable });
  const mesh = await startMesh({ cli, config: loaded.config, roles, log });
  try {
    announce(cli, mesh, startedMs, options.json);
    if (!cli.signal.aborted && meanwhile) {
      // It has a push refused on purpose.
      if (quiet) readable.leastLevel = log.levels.values.error ?? 0;
      await meanwhile(mesh);
      if (quiet) readable.leastLevel = 0;
    }
    await aborted(cli.signal);
    if (!options.json) cli.terminal.err('Draining; a second Ctrl-C ends at once.\n');
  } finally {
    await drain(cli, mesh, log);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
