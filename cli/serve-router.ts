// The router in this process: its consumers and due loops, its links to edges, and the port that says where users are.
import { grpcEdgeLinks } from '../cluster/edge-link.grpc.ts';
import { localEdgeLinks } from '../cluster/edge-link.local.ts';
import type { EdgePort } from '../cluster/edge-link.ts';
import { keepDeadLetters } from '../eventlog/dead-letters.ts';
import { startRouter } from '../router/router.ts';
import { routerMount } from '../router/service.ts';
import { limits } from '../runtime/limits.ts';
import { openPort } from '../runtime/one-port.ts';
import { addressUrl } from './clients.ts';
import { joined, listening, openRoleDatabase, type Parts } from './parts.ts';

export interface ServedRouter {
  readonly addresses: { router: string };
  setReady(ready: boolean): void;
}

/** `edge`: the only one there is, in this process; undefined: the edges of the cluster. */
export async function serveRouter(
  parts: Parts,
  edge: EdgePort | undefined,
  owned: AsyncDisposableStack,
): Promise<ServedRouter> {
  const { config, clock, log, presence, membership, tls } = parts;
  const database = owned.use(openRoleDatabase(parts, 'router'));
  const links = owned.use(edge ? localEdgeLinks({ edges: [edge], presence, clock }) : grpcEdgeLinks(parts));
  const router = owned.use(
    await startRouter({ ...parts, database, links, onPoison: keepDeadLetters(database, 'router') }),
  );
  await joined(parts, 'router', router.ready());
  const port = await listening(
    config,
    'routerPort',
    openPort({
      host: config.host,
      port: config.routerPort,
      mounts: [routerMount({ presence, membership, links })],
      maxMessageBytes: limits.ingestMessageBytes,
      strictJson: true,
      ...(tls && { tls }),
      log,
      clock,
    }),
  );
  owned.defer(() => port.close(limits.portCloseMs));
  return {
    addresses: { router: addressUrl(config.host, port.port, tls !== undefined) },
    setReady: (ready) => port.health.set(ready),
  };
}
