// The stock clients hold a stream, receive 10,000 items in order, drop it at random, resume, and miss and repeat nothing.
import { createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { createConnectTransport as createWebTransport } from '@connectrpc/connect-web';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EdgeService, type SubscribeResponse } from '../../gen/carillon/v1/edge_pb.ts';
import { grpcClient } from '../../runtime/grpc-service.ts';
import { type Chance, seeded } from '../chaos/random.ts';
import { type RunningMesh, startRunningMesh } from '../support/running-mesh.ts';
import { userHeaders } from '../support/tokens.ts';
import { sendNumbered } from './numbered-sends.ts';

const ITEMS = 10_000;
/** On average one drop in so many items: about ten over a run. */
const DROP_ONE_IN = 1_000;

/** Opens one stream from the cursor; ends when the caller's signal aborts or the stream breaks. */
type Subscribe = (
  edge: string,
  headers: { authorization: string },
  cursor: string | undefined,
  signal: AbortSignal,
) => AsyncIterable<SubscribeResponse>;

const overTransport =
  (open: (baseUrl: string) => Transport): Subscribe =>
  (edge, headers, cursor, signal) =>
    createClient(EdgeService, open(edge)).subscribe({ cursor }, { signal, headers });

const overGrpcJs: Subscribe = (edge, headers, cursor, signal) => {
  const client = grpcClient(EdgeService, new URL(edge).host);
  const call = client.subscribe({ cursor }, { headers, signal });
  // A drop ends the call as CANCELLED; that is what was asked for.
  call.on('error', () => {});
  call.on('close', () => client[Symbol.dispose]());
  return call;
};

const clients: Record<string, Subscribe> = {
  'connect-node, Connect over HTTP/1.1': overTransport((baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: '1.1' }),
  ),
  'connect-node, Connect over HTTP/2': overTransport((baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: '2' }),
  ),
  'connect-node, Connect with JSON': overTransport((baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: '1.1', useBinaryFormat: false }),
  ),
  'connect-node, gRPC': overTransport((baseUrl) => createGrpcTransport({ baseUrl })),
  'connect-node, gRPC-Web over HTTP/1.1': overTransport((baseUrl) =>
    createGrpcWebTransport({ baseUrl, httpVersion: '1.1' }),
  ),
  'connect-node, gRPC-Web over HTTP/2': overTransport((baseUrl) =>
    createGrpcWebTransport({ baseUrl, httpVersion: '2' }),
  ),
  'connect-web over fetch': overTransport((baseUrl) => createWebTransport({ baseUrl })),
  'grpc-js': overGrpcJs,
};

interface Heard {
  seqs: number[];
  titles: Set<string>;
  drops: number;
}

/** Receives until the last item has come, dropping the stream whenever chance says so. */
async function hear(
  subscribe: Subscribe,
  edge: string,
  userId: string,
  chance: Chance,
  onHello: () => void,
): Promise<Heard> {
  const headers = await userHeaders(userId);
  const heard: Heard = { seqs: [], titles: new Set(), drops: 0 };
  let cursor: string | undefined;
  while (heard.seqs.at(-1) !== ITEMS) {
    const call = new AbortController();
    try {
      for await (const { frame } of subscribe(edge, headers, cursor, call.signal)) {
        if (frame.case === 'hello') {
          cursor ??= frame.value.cursor;
          onHello();
        }
        if (frame.case !== 'deliver') continue;
        heard.seqs.push(frame.value.seq);
        heard.titles.add(frame.value.item?.content?.title ?? '');
        cursor = frame.value.cursor;
        if (frame.value.seq === ITEMS) break;
        if (chance.next() < 1 / DROP_ONE_IN) {
          heard.drops++;
          break;
        }
      }
    } finally {
      call.abort();
    }
  }
  return heard;
}

describe('10,000 items in order with drops', () => {
  let mesh: RunningMesh;
  const heard = new Map<string, Heard>();

  beforeAll(async () => {
    mesh = await startRunningMesh();
    const names = Object.keys(clients);
    const hellos = names.map(() => Promise.withResolvers<void>());
    const hearing = names.map(async (name, index) => {
      heard.set(
        name,
        await hear(clients[name]!, mesh.edge, `user-${index}`, seeded(index + 1), () =>
          hellos[index]!.resolve(),
        ),
      );
    });
    await Promise.race([Promise.all(hellos.map(({ promise }) => promise)), Promise.all(hearing)]);
    await Promise.all([
      sendNumbered(
        mesh.ingest,
        names.map((_, index) => `user-${index}`),
        ITEMS,
      ),
      ...hearing,
    ]);
  }, 300_000);

  afterAll(() => mesh?.[Symbol.asyncDispose]());

  test.each(Object.keys(clients))('%s misses and repeats nothing', (name) => {
    const { seqs, titles, drops } = heard.get(name)!;
    const breaks = seqs.flatMap((seq, index) =>
      seq === index + 1 ? [] : [`item ${index + 1} came with seq ${seq}`],
    );
    expect(breaks.slice(0, 10)).toEqual([]);
    expect(seqs).toHaveLength(ITEMS);
    expect(titles.size).toBe(ITEMS);
    expect(drops).toBeGreaterThan(0);
  });
});
