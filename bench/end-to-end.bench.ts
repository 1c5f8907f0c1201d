// G11: how long a notification takes from Send to the client's handler, everything on disk, 1,000 a second on one machine.
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { EdgeService } from '../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { bearer } from '../runtime/bearer.ts';
import { systemClock } from '../runtime/clock.ts';
import { grpcClient } from '../runtime/grpc-service.ts';
import { startRunningCluster } from '../test/support/running-cluster.ts';
import { startRunningMesh } from '../test/support/running-mesh.ts';
import { type Bench, type BenchContext, median, type Row } from './bench.ts';

const USERS = 50;
const PER_SECOND = 1_000;
const SECONDS = 4;

interface Mesh extends AsyncDisposable {
  readonly ingest: string;
  readonly edge: string;
  readonly apiKey: string;
  tokenOf(userId: string): Promise<string>;
}

interface Latency {
  p50: number;
  p99: number;
}

/** Users with a stream each; `arrived` is told what comes, with the title that the sender gave it. */
async function listen(
  { edge, tokenOf }: Mesh,
  signal: AbortSignal,
  arrived: (title: string) => void,
): Promise<void> {
  const hellos: Promise<void>[] = [];
  for (let user = 0; user < USERS; user++) {
    const client = createClient(EdgeService, createConnectTransport({ baseUrl: edge, httpVersion: '1.1' }));
    const headers = bearer(await tokenOf(`bench-${user}`));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    hellos.push(promise);
    const follow = async () => {
      let sessionId = '';
      let acked = 0;
      let seq = 0;
      const ack = () => {
        if (seq === acked) return;
        void client.ack({ sessionId, after: acked, upto: seq }, { headers }).catch(() => undefined);
        acked = seq;
      };
      // As the client SDK will: at the latest a second after, or every 50.
      using _timer = systemClock.every(1_000, ack);
      for await (const { frame } of client.subscribe({}, { headers, signal })) {
        if (frame.case === 'hello') {
          sessionId = frame.value.sessionId;
          resolve();
        } else if (frame.case === 'deliver') {
          arrived(frame.value.item?.content?.title ?? '');
          acked = acked || frame.value.seq - 1;
          seq = frame.value.seq;
          if (seq - acked >= 50) ack();
        }
      }
    };
    follow().catch((error) => (signal.aborted ? undefined : reject(error)));
  }
  await Promise.all(hellos);
}

/** Sends at an even pace, and waits until all have arrived. */
async function measure(
  { ingest, apiKey }: Mesh,
  waiting: Map<string, (atMs: number) => void>,
  name: string,
): Promise<Latency> {
  using client = grpcClient(IngestService, new URL(ingest).host, { headers: bearer(apiKey) });
  const startMs = systemClock.monotonic();
  const taken: Promise<number>[] = [];
  for (let sent = 0; sent < PER_SECOND * SECONDS; ) {
    const due = Math.min(
      PER_SECOND * SECONDS,
      Math.floor(((systemClock.monotonic() - startMs) / 1_000) * PER_SECOND),
    );
    for (; sent < due; sent++) {
      const title = `${name}-${sent}`;
      const begunMs = systemClock.monotonic();
      taken.push(new Promise((resolve) => waiting.set(title, (atMs) => resolve(atMs - begunMs))));
      void client.send({
        notification: {
          audience: { kind: { case: 'users', value: { ids: [`bench-${sent % USERS}`] } } },
          content: { title, body: 'from end to end' },
          channels: [Channel.IN_APP],
        },
      });
    }
    await systemClock.sleep(1);
  }
  const sorted = (await Promise.all(taken)).toSorted((a, b) => a - b);
  return { p50: sorted[Math.floor(sorted.length * 0.5)]!, p99: sorted[Math.floor(sorted.length * 0.99)]! };
}

async function measured(
  mesh: Mesh,
  label: string,
  { rounds, progress, signal }: BenchContext,
): Promise<Latency> {
  const stop = new AbortController();
  const waiting = new Map<string, (atMs: number) => void>();
  await listen(mesh, AbortSignal.any([signal, stop.signal]), (title) =>
    waiting.get(title)?.(systemClock.monotonic()),
  );
  const found: Latency[] = [];
  for (let round = 0; round <= rounds; round++) {
    const latency = await measure(mesh, waiting, `${label}-${round}`);
    waiting.clear();
    progress(
      `${label}, round ${round}${round === 0 ? ' (warm-up)' : ''}: p50 ${latency.p50.toFixed(1)} ms, p99 ${latency.p99.toFixed(1)} ms`,
    );
    if (round > 0) found.push(latency);
  }
  stop.abort();
  return { p50: median(found.map(({ p50 }) => p50)), p99: median(found.map(({ p99 }) => p99)) };
}

async function run(context: BenchContext): Promise<Row[]> {
  let embedded: Latency;
  {
    await using mesh = await startRunningMesh();
    embedded = await measured(mesh, 'embedded', context);
  }
  await using cluster = await startRunningCluster();
  const clustered = await measured(cluster, 'cluster', context);
  const row = (name: string, ours: number, other: number): Row => ({
    goal: 'G11',
    name,
    ours,
    other,
    unit: 'ms',
    ratio: other / ours,
    target: 1,
    ok: ours <= other,
  });
  return [
    row('embedded, Send to handler, p50, against 10 ms', embedded.p50, 10),
    row('embedded, Send to handler, p99, against 50 ms', embedded.p99, 50),
    row('cluster, Send to handler, p50, against 2 × embedded', clustered.p50, 2 * embedded.p50),
    row('cluster, Send to handler, p99, against 2 × embedded', clustered.p99, 2 * embedded.p99),
  ];
}

export const bench: Bench = {
  name: 'end-to-end',
  goals: ['G11'],
  about: `from the call of Send to the handler of a stock client, ${PER_SECOND}/s to ${USERS} users who acknowledge, all on one machine, the senders and the clients too.`,
  run,
};
