// Ingest in this process: the port for backends and operators.
import { adminMount } from '../ingest/admin.ts';
import { createIngest } from '../ingest/service.ts';
import { limits } from '../runtime/limits.ts';
import { openPort } from '../runtime/one-port.ts';
import { openCatalog } from './catalog.ts';
import { addressUrl } from './clients.ts';
import { listening, openRoleDatabase, type Parts } from './parts.ts';

export interface ServedIngest {
  readonly addresses: { ingest: string };
  setReady(ready: boolean): void;
}

/** What it opens is closed by `owned`: first the port, then what waits for its commit. */
export async function serveIngest(parts: Parts, owned: AsyncDisposableStack): Promise<ServedIngest> {
  const { config, clock, log, handoff, authenticator, signToken, tls } = parts;
  const db = owned.use(openRoleDatabase(parts, 'ingest'));
  const ingest = owned.use(createIngest({ ...parts, database: db }));
  const providers = openCatalog(parts, db);
  const port = await listening(
    config,
    'ingestPort',
    openPort({
      host: config.host,
      port: config.ingestPort,
      mounts: [ingest.mount, adminMount({ db, handoff, authenticator, signToken, ...providers })],
      maxMessageBytes: limits.ingestMessageBytes,
      // A name that is mistyped in a curl call must not be a notification without it.
      strictJson: true,
      ...(tls && { tls }),
      log,
      clock,
    }),
  );
  owned.defer(() => port.close(limits.portCloseMs));
  return {
    addresses: { ingest: addressUrl(config.host, port.port, tls !== undefined) },
    setReady: (ready) => port.health.set(ready),
  };
}
