// Finds the running mesh: by --ingest, --edge, --router, else where the configuration says that it listens.
import { type Client, createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import type { Command } from 'commander';
import { AdminService } from '../gen/carillon/v1/admin_pb.ts';
import { EdgeService } from '../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import { RouterService } from '../gen/carillon/v1/router_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { USER_HEADER, userHeader } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { carillonError } from '../runtime/wire-errors.ts';
import { type Cli, loadConfig, type OutputOptions } from './cli.ts';
import { readTls } from './tls.ts';

export type Target = 'ingest' | 'edge' | 'router';

export interface TargetOptions extends OutputOptions {
  ingest?: string;
  edge?: string;
  router?: string;
}

const PORTS = { ingest: 'ingestPort', edge: 'edgePort', router: 'routerPort' } as const;

/** Adds `--ingest URL` and the like. */
export function reaching(command: Command, ...targets: readonly Target[]): Command {
  for (const target of targets)
    command.option(`--${target} <url>`, `where the ${target} port of the mesh is (default: as configured)`);
  return command;
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
  return addressUrl(config.host, port, config.tlsCert !== undefined);
}

function transport(cli: Cli, target: Target, options: TargetOptions): Transport {
  const baseUrl = targetUrl(cli, target, options);
  // Where callers must bring a certificate, an operator on the same host brings the mesh's own.
  const tls = baseUrl.startsWith('https:') ? readTls(loadConfig(cli).config) : undefined;
  return createConnectTransport({
    baseUrl,
    httpVersion: '1.1',
    ...(tls && { nodeOptions: { cert: tls.cert, key: tls.key } }),
    useBinaryFormat: true,
    readMaxBytes: limits.cliMessageBytes,
    interceptors: [
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

export const ingestClient = (cli: Cli, options: TargetOptions): Client<typeof IngestService> =>
  createClient(IngestService, transport(cli, 'ingest', options));

export const adminClient = (cli: Cli, options: TargetOptions): Client<typeof AdminService> =>
  createClient(AdminService, transport(cli, 'ingest', options));

export const edgeClient = (cli: Cli, options: TargetOptions): Client<typeof EdgeService> =>
  createClient(EdgeService, transport(cli, 'edge', options));

export const routerClient = (cli: Cli, options: TargetOptions): Client<typeof RouterService> =>
  createClient(RouterService, transport(cli, 'router', options));

/** What says to an edge who calls, until tokens do. */
export const asUser = (user: string): Record<string, string> => ({ [USER_HEADER]: userHeader(user) });
