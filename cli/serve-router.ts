// The router in this process: its consumers and due loops, its links to edges, and the port that says where users are.
import { grpcEdgeLinks } from '../cluster/edge-link.grpc.ts';
import { localEdgeLinks } from '../cluster/edge-link.local.ts';
import type { EdgePort } from '../cluster/edge-link.ts';
import type { LinkSecurity } from '../cluster/link-security.ts';
import { Ownership } from '../cluster/ownership.ts';
import { keepDeadLetters } from '../eventlog/dead-letters.ts';
import { startRouter } from '../router/router.ts';
import { routerMount } from '../router/service.ts';
import { limits } from '../runtime/limits.ts';
import { signLinkToken } from '../runtime/link-token.ts';
import { openPort } from '../runtime/one-port.ts';
import { addressUrl } from './clients.ts';
import { joined, listening, openRoleDatabase, type Parts } from './parts.ts';

export interface ServedRouter {
  readonly addresses: { router: string };
  setReady(ready: boolean): void;
  /** Withdraws the router. */
  leave(): Promise<void>;
}

/** A router brings what its edges ask for: a certificate where links are encrypted, a token where the mesh has a secret. */
function linkSecurity({ config, tls, node, authenticator }: Parts): LinkSecurity {
  const { clusterSecret } = config;
  return {
    tls,
    token: clusterSecret ? () => signLinkToken(clusterSecret, node, authenticator.nowMs()) : undefined,
  };
}

/** `edge`: the only one there is, in this process; undefined: the edges of the cluster. */
export async function serveRouter(
  parts: Parts,
  edge: EdgePort | undefined,
  owned: AsyncDisposableStack,
): Promise<ServedRouter> {
  const { config, clock, log, presence, membership, tls, node, incarnation, authenticator } = parts;
  const database = owned.use(openRoleDatabase(parts, 'router'));
  const links = owned.use(
    edge
      ? localEdgeLinks({ edges: [edge], presence, clock })
      : grpcEdgeLinks({ ...parts, security: linkSecurity(parts) }),
  );
  const ownership = owned.use(
    new Ownership({ membership, clock, linked: () => links.linked(), viewOf: (node) => links.viewOf(node) }),
  );
  const onPoison = keepDeadLetters(database, 'router');
  const router = owned.use(await startRouter({ ...parts, database, links, ownership, onPoison }));
  await joined(parts, 'router', router.ready());
  const port = await listening(
    config,
    'routerPort',
    openPort({
      host: config.host,
      port: config.routerPort,
      mounts: [routerMount({ presence, ownership, links, authenticator })],
      maxMessageBytes: limits.ingestMessageBytes,
      strictJson: true,
      ...(tls && { tls }),
      log,
      clock,
    }),
  );
  owned.defer(() => port.close(limits.portCloseMs));
  const url = addressUrl(config.host, port.port, tls !== undefined);
  const announced = owned.use(
    await membership.announce({
      role: 'router',
      node,
      incarnation,
      address: new URL(url).host,
      url: '',
      weight: 1,
      zone: config.zone ?? '',
    }),
  );
  return {
    addresses: { router: url },
    setReady: (ready) => port.health.set(ready),
    leave: async () => announced[Symbol.asyncDispose](),
  };
}
