// The edge in this process: the port for clients, and for routers a function call or the port of its links. It leaves in order:
// the others are told, nobody new comes in, clients are sent away, and the links go last.
import type { EdgePort } from '../cluster/edge-link.ts';
import { Ownership } from '../cluster/ownership.ts';
import { openEdge } from '../edge/edge.ts';
import { linkMount } from '../edge/link-server.ts';
import { openEdgePort } from '../edge/wire/edge-port.ts';
import { isLoopback } from '../runtime/config.ts';
import { createHealth } from '../runtime/health.ts';
import { limits } from '../runtime/limits.ts';
import { linkAuthenticator } from '../runtime/link-token.ts';
import { type OnePort, openPort } from '../runtime/one-port.ts';
import { createReflection } from '../runtime/reflection.ts';
import { addressUrl } from './clients.ts';
import { listening, openRoleDatabase, type Parts } from './parts.ts';

export interface ServedEdge {
  /** For a router in the same process. */
  readonly port: EdgePort;
  readonly addresses: { edge: string; links?: string };
  setReady(ready: boolean): void;
  /** Withdraws the edge and takes no more connections; sending its clients away goes on behind it. */
  leave(): Promise<void>;
}

/** `linked`: routers of other processes must be able to reach it. What it opens is closed by `owned`, in order. */
export async function serveEdge(
  parts: Parts,
  linked: boolean,
  owned: AsyncDisposableStack,
): Promise<ServedEdge> {
  const { config, clock, log, tls, node, incarnation, membership } = parts;
  const db = owned.use(openRoleDatabase(parts, 'edge'));
  const ownership = owned.use(new Ownership(parts));
  const edge = owned.use(await openEdge({ ...parts, db, ownership }));
  const health = createHealth([edge.service.desc.typeName]);
  const mounts = [edge.service, health.mount];
  const links = linked ? await openLinkPort(parts, edge.port, owned) : undefined;
  const wire = await listening(
    config,
    'edgePort',
    openEdgePort({
      host: config.host,
      port: config.edgePort,
      subscribe: edge.subscribe,
      mounts: [...mounts, createReflection(mounts.map(({ desc }) => desc))],
      ...(tls && { tls: { cert: tls.cert, key: tls.key } }),
      clock,
      log,
    }),
  );
  owned.defer(() => wire.close(limits.portCloseMs));
  const announced = owned.use(
    await membership.announce({
      role: 'edge',
      node,
      incarnation,
      address: links ? (config.edgeAdvertise ?? addressOf(config.host, links)) : '',
      url: config.edgeUrl ?? (isLoopback(config.host) ? wire.address : ''),
      weight: config.edgeWeight,
      zone: config.zone ?? '',
    }),
  );
  let drained: Promise<void> | undefined;
  const leave = async () => {
    await announced[Symbol.asyncDispose]();
    wire.stopAccepting();
    drained ??= edge.drain();
  };
  owned.defer(async () => {
    await leave();
    await drained;
  });
  const addresses = {
    edge: wire.address,
    ...(links && { links: addressUrl(config.host, links.port, tls !== undefined) }),
  };
  return {
    port: edge.port,
    addresses,
    setReady(ready) {
      health.set(ready);
      links?.health.set(ready);
    },
    leave,
  };
}

/** `host:port`, with brackets around an IPv6 address. */
const addressOf = (host: string, { port }: OnePort): string => new URL(addressUrl(host, port)).host;

/** Routers bring a certificate where authorities are named, and a token where the mesh has a secret. */
async function openLinkPort(parts: Parts, edge: EdgePort, owned: AsyncDisposableStack): Promise<OnePort> {
  const { config, clock, log, tls, authenticator } = parts;
  const nowMs = () => authenticator.nowMs();
  const peers = linkAuthenticator({ secret: config.clusterSecret, nowMs });
  const links = await listening(
    config,
    'linkPort',
    openPort({
      host: config.host,
      port: config.linkPort,
      mounts: [linkMount({ edge, clock, log, authenticator: peers })],
      maxMessageBytes: limits.linkMessageBytes,
      ...(tls && { tls }),
      log,
      clock,
    }),
  );
  owned.defer(() => links.close(limits.portCloseMs));
  return links;
}
