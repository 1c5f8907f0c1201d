// A mesh that is attacked, and a neighbour who must notice nothing: their stream gets its items all the time.
import { readFile } from 'node:fs/promises';
import { createClient } from '@connectrpc/connect';
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { Channel } from '../../gen/carillon/v1/notification_pb.ts';
import { bearer } from '../../runtime/bearer.ts';
import { systemClock } from '../../runtime/clock.ts';
import { type RunningMesh, startRunningMesh } from '../support/running-mesh.ts';
import { backendToken, userHeaders } from '../support/tokens.ts';
import { backendTransport, userTransport } from '../support/transports.ts';
import { until } from '../support/until.ts';

/** Between the send and the frame, while two cores also run the attack. */
const NEIGHBOUR_WITHIN_MS = 10_000;

export interface AttackedMesh extends AsyncDisposable {
  readonly addresses: Record<string, string>;
  /** Resident memory of its process, MiB. */
  memoryMiB(): Promise<number>;
  /** Stores an item for the user and shows it on their streams. */
  send(userId: string, body?: string): Promise<void>;
  /** Rejects when the process is gone, or the neighbour's stream, which has been open all the time, does not get an item. */
  unharmed(): Promise<void>;
}

interface Neighbour {
  readonly got: ReadonlySet<string>;
  leave(): void;
}

async function openNeighbour(edge: string): Promise<Neighbour> {
  const client = createClient(EdgeService, userTransport(edge, 'neighbour'));
  const call = new AbortController();
  const got = new Set<string>();
  const greeted = Promise.withResolvers<void>();
  const run = async () => {
    for await (const { frame } of client.subscribe({}, { signal: call.signal })) {
      if (frame.case === 'hello') greeted.resolve();
      if (frame.case === 'deliver') got.add(frame.value.item?.content?.body ?? '');
    }
  };
  run().catch((error: unknown) => greeted.reject(error));
  await greeted.promise;
  return { got, leave: () => call.abort() };
}

async function residentMiB({ process }: RunningMesh): Promise<number> {
  const status = await readFile(`/proc/${process.pid}/status`, 'utf8').catch(() => '');
  const kib = /VmRSS:\s+(\d+) kB/.exec(status)?.[1];
  if (kib === undefined) throw new Error('the mesh is gone');
  return Number(kib) / 1_024;
}

/** Who attacks: somebody with a good token of their own, on an edge and as a backend. */
export async function attacker(port: string): Promise<{ authorization: string }> {
  return port === 'edge' ? userHeaders('eve') : bearer(await backendToken());
}

/** Starts the mesh, as `carillon up` does, and the neighbour's stream. */
export async function startAttackedMesh(): Promise<AttackedMesh> {
  await using stack = new AsyncDisposableStack();
  const mesh = stack.use(await startRunningMesh());
  const backend = createClient(IngestService, backendTransport(mesh.ingest));
  const neighbour = stack.adopt(await openNeighbour(mesh.edge), ({ leave }) => leave());
  let sent = 0;
  async function send(userId: string, body = ''): Promise<void> {
    await backend.send({
      notification: {
        audience: { kind: { case: 'users', value: { ids: [userId] } } },
        content: { title: 'an item', body },
        channels: [Channel.IN_APP],
      },
    });
  }
  const owned = stack.move();
  return {
    addresses: mesh.process.addresses,
    memoryMiB: () => residentMiB(mesh),
    send,
    async unharmed() {
      const body = `${++sent} at ${systemClock.now()}`;
      await send('neighbour', body);
      await until(
        'item on the neighbour’s stream',
        () => neighbour.got.has(body) || undefined,
        NEIGHBOUR_WITHIN_MS,
      );
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
