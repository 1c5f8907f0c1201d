// Finds the running mesh: by --ingest, --edge, --router, else where the configuration says that it listens.
import { type Client, createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import type { Command } from 'commander';
import { AdminService } from '../gen/carillon/v1/admin_pb.ts';
import { EdgeService } from '../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import { RouterService } from '../gen/carillon/v1/router_pb.ts';
import { withBearer } from '../runtime/bearer.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { carillonError } from '../runtime/wire-errors.ts';
import { type Cli, loadConfig, type OutputOptions } from './cli.ts';
import { backendToken, type TokenOptions, UserTokens } from './credentials.ts';
import { noteFor, siblingOf } from './runtime-directory.ts';
import { readTls } from './tls.ts';

export type Target = 'ingest' | 'edge' | 'router';

export interface TargetOptions extends OutputOptions, TokenOptions {
  ingest?: string;
  edge?: string;
  router?: string;
}

type Token = () => string | Promise<string>;

const PORTS = { ingest: 'ingestPort', edge: 'edgePort', router: 'routerPort' } as const;

/** Adds `--ingest URL` and the like. */
export function reaching(command: Command, ...targets: readonly Target[]): Command {
  for (const target of targets)
    command.option(`--${target} <url>`, `where the ${target} port of the mesh is (default: as configured)`);
  // `devices register` has one of its own.
  if (command.options.some(({ long }) => long === '--token')) return command;
  return command.option('--token <token>', 'call with this token or API key (default: found by itself)');
}

/** `http://127.0.0.1:7100`, with brackets around an IPv6 address. */
export function addressUrl(host: string, port: number, tls = false): string {
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Throws CONFIG_INVALID when the address is not a URL or the port is picked at start. */
function targetUrl(cli: Cli, target: Target, options: TargetOptions): string {
  const given = options[target];
  if (given !== undefined) {
    if (URL.canParse(given) && /^https?:$/.test(new URL(given).protocol)) return given.replace(/\/+$/, '');
    throw new CarillonError(
      'USAGE',
      `--${target} must be a URL such as http://127.0.0.1:7100, not ${given}.`,
    );
  }
  const { config } = loadConfig(cli);
  const port = config[PORTS[target]];
  if (port === 0)
    throw new CarillonError(
      'CONFIG_INVALID',
      `The ${target} port is configured as 0, so it is another one at each start: say --${target} URL.`,
    );
  // An address that stands for all of them is none to call.
  const host = config.host.replace(/^0\.0\.0\.0$/, '127.0.0.1').replace(/^::$/, '::1');
  return addressUrl(host, port, config.tlsCert !== undefined);
}

function transport(cli: Cli, target: Target, baseUrl: string, token: Token): Transport {
  // Where callers must bring a certificate, an operator on the same host brings the mesh's own.
  const tls = baseUrl.startsWith('https:') ? readTls(loadConfig(cli).config) : undefined;
  return createConnectTransport({
    baseUrl,
    httpVersion: '1.1',
    ...(tls && { nodeOptions: { cert: tls.cert, key: tls.key } }),
    useBinaryFormat: true,
    readMaxBytes: limits.cliMessageBytes,
    interceptors: [
      withBearer(token),
      (next) => async (request) => {
        try {
          return await next(request);
        } catch (error) {
          throw unreachable(error, target, baseUrl);
        }
      },
    ],
  });
}

/** Nobody there is said with the address and with what to do; everything else as the mesh said it. */
function unreachable(error: unknown, target: Target, url: string): CarillonError {
  const own = carillonError(error);
  // A status of HTTP alone: no mesh says that.
  if (/^HTTP \d+$/.test(own.message))
    return new CarillonError(
      'UNREACHABLE',
      `What listens at ${url} is not the ${target} port of a mesh (it answers ${own.message}): say where that is with --${target} URL.`,
      { cause: error },
    );
  if (own.reason !== 'UNREACHABLE') return own;
  return new CarillonError(
    'UNREACHABLE',
    `Nothing answers at ${url}: start the mesh with carillon up, or say where it is with --${target} URL.`,
    { cause: error },
  );
}

function backendTransport(cli: Cli, target: Target, options: TargetOptions): Transport {
  const url = targetUrl(cli, target, options);
  return transport(cli, target, url, () => backendToken(cli, url, options));
}

export const ingestClient = (cli: Cli, options: TargetOptions): Client<typeof IngestService> =>
  createClient(IngestService, backendTransport(cli, 'ingest', options));

export const adminClient = (cli: Cli, options: TargetOptions): Client<typeof AdminService> =>
  createClient(AdminService, backendTransport(cli, 'ingest', options));

export const routerClient = (cli: Cli, options: TargetOptions): Client<typeof RouterService> =>
  createClient(RouterService, backendTransport(cli, 'router', options));

export interface UserClient {
  readonly edge: Client<typeof EdgeService>;
  /** What `edge` calls with. */
  readonly tokens: UserTokens;
}

/** Calls an edge as `user`, with tokens that the mesh's ingest makes unless one was given. */
export function userClient(cli: Cli, user: string, options: TargetOptions, deviceId = ''): UserClient {
  const url = targetUrl(cli, 'edge', options);
  const tokens = new UserTokens({ cli, user, deviceId, options }, () => {
    const note = options.ingest === undefined ? noteFor(cli.environment, url) : undefined;
    const ingest = note && siblingOf(cli.environment, note, 'ingest')?.url;
    return adminClient(cli, ingest === undefined ? options : { ...options, ingest });
  });
  return {
    edge: createClient(
      EdgeService,
      transport(cli, 'edge', url, () => tokens.get()),
    ),
    tokens,
  };
}
