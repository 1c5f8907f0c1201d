// A router's stream to an edge: batches are answered by number, changes go both ways, and nobody is read faster than it reads.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Changed, EdgePort, Target } from '../cluster/edge-link.ts';
import {
  ChangedSchema,
  DeliverRequestSchema,
  type DeliverResponse,
  EdgeLinkService,
  TargetOutcome,
  TargetResultSchema,
} from '../gen/carillon/v1/edge_link_pb.ts';
import { grpcClient } from '../runtime/grpc-service.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { openPort } from '../runtime/one-port.ts';
import { linkMount, serveLink } from './link-server.ts';

class FakeEdge implements EdgePort {
  readonly node = 'edge-1';
  readonly delivered: string[] = [];
  readonly told: Changed[] = [];
  listeners = new Set<(users: readonly Changed[]) => void>();

  deliver(_items: readonly Uint8Array[], targets: readonly Target[]) {
    this.delivered.push(...targets.map(({ userId }) => userId));
    return Promise.resolve(
      targets.map(({ seq }) => create(TargetResultSchema, { outcome: TargetOutcome.ALREADY, agoMs: seq })),
    );
  }
  changed(users: readonly Changed[]) {
    this.told.push(...users);
  }
  onChanged(listener: (users: readonly Changed[]) => void) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  announce(userId: string, head: number) {
    for (const listener of this.listeners)
      listener([create(ChangedSchema, { tenant: 'default', userId, head })]);
  }
}

const batch = (
  number: number,
  users: readonly string[] = [],
): MessageInitShape<typeof DeliverRequestSchema> => ({
  batch: number,
  items: [new Uint8Array([0x1a, 0])],
  targets: users.map((userId, at) => ({ tenant: 'default', userId, seq: at + 1, item: 0 })),
});

describe('over gRPC', () => {
  async function connect() {
    const edge = new FakeEdge();
    const port = await openPort({
      host: '127.0.0.1',
      port: 0,
      maxMessageBytes: limits.ingestMessageBytes,
      mounts: [linkMount(edge, silentLog)],
      log: silentLog,
    });
    const client = grpcClient(EdgeLinkService, `127.0.0.1:${port.port}`);
    const call = client.deliver();
    call.on('error', () => {});
    onTestFinished(async () => {
      call.cancel();
      client[Symbol.dispose]();
      await port[Symbol.asyncDispose]();
    });
    const answers = call[Symbol.asyncIterator]() as AsyncIterator<DeliverResponse>;
    return { edge, call, next: async () => (await answers.next()).value as DeliverResponse };
  }

  test('a batch is answered by its number, in the order of its targets', async () => {
    const { edge, call, next } = await connect();
    call.write(create(DeliverRequestSchema, batch(7, ['ada', 'bob'])));
    call.write(create(DeliverRequestSchema, batch(8)));
    expect(await next()).toMatchObject({ batch: 7, results: [{ agoMs: 1 }, { agoMs: 2 }] });
    expect(await next()).toMatchObject({ batch: 8, results: [] });
    expect(edge.delivered).toEqual(['ada', 'bob']);
  });

  test('changes go both ways, without an answer to a batch that wants none', async () => {
    const { edge, call, next } = await connect();
    call.write(
      create(DeliverRequestSchema, { batch: 0, changed: [{ tenant: 'default', userId: 'ada', head: 3 }] }),
    );
    call.write(create(DeliverRequestSchema, batch(1)));
    expect(await next()).toMatchObject({ batch: 1 });
    expect(edge.told).toMatchObject([{ userId: 'ada', head: 3 }]);
    edge.announce('bob', 9);
    expect(await next()).toMatchObject({ batch: 0, changed: [{ userId: 'bob', head: 9 }] });
  });
});

describe('a router that does not read its answers', () => {
  test('is not read either, and learns each change once, with the newest head', async () => {
    const edge = new FakeEdge();
    let pulled = 0;
    async function* requests() {
      for (; pulled < 1_000; pulled++) yield create(DeliverRequestSchema, batch(pulled + 1, ['ada']));
      await new Promise(() => {});
    }
    const stop = new AbortController();
    const answers = serveLink(edge, requests(), { signal: stop.signal }, silentLog);
    expect((await answers.next()).value).toMatchObject({ batch: 1 });
    await new Promise((resolve) => setImmediate(resolve));
    expect(pulled).toBeLessThanOrEqual(limits.linkBatchesCount + 2);
    for (let head = 1; head <= 5; head++) edge.announce('ada', head);
    for (let at = 0; at < limits.linkBatchesCount; at++) await answers.next();
    stop.abort();
    const rest: DeliverResponse[] = [];
    for await (const answer of answers) rest.push(answer);
    expect(rest.filter(({ changed }) => changed.length > 0)).toMatchObject([
      { changed: [{ userId: 'ada', head: 5 }] },
    ]);
    expect(edge.listeners.size).toBe(0);
  });
});
