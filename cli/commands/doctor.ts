// carillon doctor: looks at everything a start needs, and says what to do about what is not there.
import { constants } from 'node:fs';
import { access as mayAccess } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Config, ConfigKey } from '../../runtime/config.ts';
import { environmentName, isLoopback } from '../../runtime/config.ts';
import { maskUrl } from '../../runtime/config-load.ts';
import { CarillonError } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { type Cli, command, loadConfig, type OutputOptions, printJson } from '../cli.ts';
import { addressUrl } from '../clients.ts';

interface Finding {
  check: string;
  ok: boolean;
  says: string;
}

const NODE_MAJOR = 26;
const POSTGRES_MAJOR = 16;

async function look(check: string, work: () => Promise<string>): Promise<Finding> {
  try {
    return { check, ok: true, says: await work() };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : '';
    return { check, ok: false, says: said.includes(cause) ? said : `${said} (${cause})` };
  }
}

async function node(): Promise<string> {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < NODE_MAJOR)
    throw new Error(`this is Node ${process.versions.node}; run npm ci, which installs ${NODE_MAJOR}`);
  return `Node ${process.versions.node}`;
}

/** Throws unless files can be made in the directory, or in the nearest one above it that exists. */
async function writable(directory: string): Promise<void> {
  try {
    await mayAccess(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    if (
      !(
        cause instanceof Error &&
        'code' in cause &&
        cause.code === 'ENOENT' &&
        dirname(directory) !== directory
      )
    )
      throw new Error(`${directory} cannot be written to: choose another one with CARILLON_DATA_DIR`, {
        cause,
      });
    await writable(dirname(directory));
  }
}

async function postgres(cli: Cli, config: Config): Promise<string> {
  if (!config.postgresUrl) {
    const { installedNative } = await import('../../storage/embedded-native.ts');
    await installedNative();
    await writable(resolve(cli.directory, config.dataDir));
    return `embedded, in ${config.dataDir}`;
  }
  const { openDatabase } = await import('../../storage/database.ts');
  await using db = openDatabase({ url: config.postgresUrl, connections: 1, clock: cli.clock });
  const { firstContactError } = await import('../stores.ts');
  const { rows } = await db
    .query<{ version: number; text: string }>({
      text: `select current_setting('server_version_num')::int / 10000 as version, current_setting('server_version') as text`,
    })
    .catch((error: unknown) => {
      throw firstContactError(error, config);
    });
  const [found] = rows;
  if (!found || found.version < POSTGRES_MAJOR)
    throw new Error(`PostgreSQL ${found?.text} is too old; it needs ${POSTGRES_MAJOR}`);
  return `PostgreSQL ${found.text} at ${maskUrl(config.postgresUrl)}`;
}

async function kafka(config: Config): Promise<string> {
  if (!config.kafkaBrokers) return 'not set; the event log is kept in PostgreSQL';
  const { probeKafka } = await import('../stores.ts');
  await probeKafka(config.kafkaBrokers);
  return config.kafkaBrokers.join(',');
}

async function redis(config: Config): Promise<string> {
  if (!config.redisUrl) return 'not set; edges and users are known to one process';
  const { probeRedis } = await import('../cluster.ts');
  await probeRedis(config.redisUrl);
  return maskUrl(config.redisUrl);
}

/** Who could call, and how that is told. */
async function access(cli: Cli, config: Config): Promise<string> {
  const ways = [
    ...(config.jwtSecret ? ['tokens by CARILLON_JWT_SECRET'] : []),
    ...(config.jwtJwksUrl ? [`tokens by the keys at ${maskUrl(config.jwtJwksUrl)}`] : []),
    ...(isLoopback(config.host) ? ['a local key'] : []),
    'API keys',
  ];
  if (config.jwtJwksUrl) {
    const response = await fetch(config.jwtJwksUrl, {
      redirect: 'error',
      signal: AbortSignal.any([cli.signal, AbortSignal.timeout(limits.jwksFetchMs)]),
    });
    const set: unknown = await response.json();
    if (!(set instanceof Object && 'keys' in set && Array.isArray(set.keys)))
      throw new Error(`CARILLON_JWT_JWKS_URL does not answer with a key set (HTTP ${response.status})`);
  }
  return ways.join(', ');
}

/** A port is fine when it is free, and when a mesh that runs already has it. */
async function port(config: Config, key: ConfigKey & `${string}Port`): Promise<string> {
  const wanted = config[key];
  if (wanted === 0) return 'any free one';
  const free = await new Promise<boolean>((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    );
    probe.listen(wanted, config.host, () => probe.close(() => resolve(true)));
  });
  if (free) return `${wanted} is free`;
  const ours = await fetch(`${addressUrl(config.host, config.opsPort)}/readyz`, {
    signal: AbortSignal.timeout(2_000),
  })
    .then(async (response) => 'checks' in ((await response.json()) as object))
    .catch(() => false);
  if (ours) return `${wanted} is in use, and a mesh runs`;
  throw new Error(`${wanted} is in use by something else: set ${environmentName(key)} to another port, or 0`);
}

const PORTS = ['ingestPort', 'edgePort', 'routerPort', 'opsPort'] as const;

export function doctorCommand(cli: Cli): Command {
  return command('doctor', 'look at everything a start needs', ['doctor', 'doctor --json']).action(
    async (options: OutputOptions) => {
      const findings = [await look('node', node)];
      const settings = await look('configuration', async () => {
        loadConfig(cli);
        return 'can be used';
      });
      findings.push(settings);
      if (settings.ok) {
        const { config } = loadConfig(cli);
        findings.push(
          await look('postgres', () => postgres(cli, config)),
          await look('kafka', () => kafka(config)),
          await look('redis', () => redis(config)),
          await look('access', () => access(cli, config)),
        );
        for (const key of PORTS) findings.push(await look(key, () => port(config, key)));
      }
      for (const finding of findings) {
        if (options.json) printJson(cli, finding);
        else
          cli.terminal.out(
            `${finding.ok ? cli.terminal.paint('green', 'ok  ') : cli.terminal.paint('red', 'FAIL')}  ${finding.check.padEnd(13)} ${finding.says}\n`,
          );
      }
      const failed = findings.filter(({ ok }) => !ok).map(({ check }) => check);
      if (failed.length > 0)
        throw new CarillonError(
          'CONFIG_INVALID',
          `A mesh with this configuration would not work: look at ${failed.join(', ')}.`,
        );
    },
  );
}
