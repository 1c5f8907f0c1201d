// The edge in this process: the port for clients, and for routers a function call or the port of its links.

import type { EdgePort } from '../cluster/edge-link.ts';
import { openEdge } from '../edge/edge.ts';
import { openEdgePort } from '../edge/wire/edge-port.ts';
import { createHealth } from '../runtime/health.ts';
import { limits } from '../runtime/limits.ts';
import { openPort } from '../runtime/one-port.ts';
import { createReflection } from '../runtime/reflection.ts';
import { addressUrl } from './clients.ts';
import { listening, openRoleDatabase, type Parts } from './parts.ts';

export interface ServedEdge {
  /** For a router in the same process. */
  readonly port: EdgePort;
  readonly addresses: { edge: string; links?: string };
  setReady(ready: boolean): void;
}

/** `linked`: routers of other processes must be able to reach it. What it opens is closed by `owned`, in order. */
export async function serveEdge(
  parts: Parts,
  linked: boolean,
  owned: AsyncDisposableStack,
): Promise<ServedEdge> {
  const { config, clock, log, tls } = parts;
  const db = owned.use(openRoleDatabase(parts, 'edge'));
  const edge = owned.use(await openEdge({ ...parts, db }));
  const health = createHealth([edge.service.desc.typeName]);
  const mounts = [edge.service, health.mount];
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
  owned.defer(() => wire.close(limits.edgeCloseMs));
  const addresses: ServedEdge['addresses'] = { edge: wire.address };
  let linkAddress = '';
  if (linked) {
    const links = await serveLinks(parts, edge.link, owned);
    addresses.links = links.url;
    linkAddress = config.edgeAdvertise ?? new URL(links.url).host;
  }
  const { node, incarnation } = parts;
  owned.use(await parts.membership.announce({ node, incarnation, linkAddress }));
  owned.defer(async () => {
    health.set(false);
    wire.stopAccepting();
    await edge.drain();
  });
  return { port: edge.port, addresses, setReady: (ready) => health.set(ready) };
}

async function serveLinks(
  parts: Parts,
  mount: Parameters<typeof openPort>[0]['mounts'][number],
  owned: AsyncDisposableStack,
): Promise<{ url: string }> {
  const { config, clock, log } = parts;
  const links = await listening(
    config,
    'linkPort',
    openPort({
      host: config.host,
      port: config.linkPort,
      mounts: [mount],
      maxMessageBytes: limits.linkMessageBytes,
      log,
      clock,
    }),
  );
  owned.defer(() => links.close(limits.portCloseMs));
  return { url: addressUrl(config.host, links.port) };
}
