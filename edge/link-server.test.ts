// A router's stream to an edge: it greets, answers by number, tells changes, signals and views, and reads no faster than it is read.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, onTestFinished, test } from 'vitest';
import { backgroundSignal, FakeEdge, outcomesOf } from '../cluster/edge-link.fixture.ts';
import type { Changed } from '../cluster/edge-link.ts';
import {
  DeliverRequestSchema,
  type DeliverResponse,
  EdgeLinkService,
  SignalOutcome,
} from '../gen/carillon/v1/edge_link_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { grpcClient } from '../runtime/grpc-service.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { openPort } from '../runtime/one-port.ts';
import { openLinkMount } from './link-server.fixture.ts';
import { serveLink } from './link-server.ts';

const batch = (
  number: number,
  users: readonly string[] = [],
): MessageInitShape<typeof DeliverRequestSchema> => ({
  batch: number,
  items: [new Uint8Array([0x1a, 0])],
  targets: users.map((userId, at) => ({ tenant: 'default', userId, seq: at + 1, item: 0 })),
});
const first = { incarnation: '0001' };
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('over gRPC', () => {
  async function connect() {
    const edge = new FakeEdge('edge-1');
    const port = await openPort({
      host: '127.0.0.1',
      port: 0,
      maxMessageBytes: limits.linkMessageBytes,
      mounts: [openLinkMount(edge)],
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
    return { edge, port, call, next: async () => (await answers.next()).value as DeliverResponse };
  }

  test('the first answer gives view and credits, each later one is by its number, in the order of its targets', async () => {
    const { edge, call, next } = await connect();
    call.write(first);
    expect(await next()).toMatchObject({ batch: 0, view: 'v1', credits: limits.linkCreditsCount });
    call.write(batch(7, ['ada', 'bob']));
    call.write(batch(8));
    expect(await next()).toMatchObject({ batch: 7, view: 'v1', results: [{ agoMs: 1 }, { agoMs: 2 }] });
    expect(await next()).toMatchObject({ batch: 8, results: [] });
    expect(edge.got.map(({ userId }) => userId)).toEqual(['ada', 'bob']);
  });

  test('a request for another process than this one ends the link, and nothing of it is done', async () => {
    const { edge, call } = await connect();
    const ended = new Promise<{ code: number; details: string }>((resolve) => call.once('error', resolve));
    call.resume().write({ incarnation: '0002', ...batch(1, ['ada']) });
    const { code, details } = await ended;
    expect([code, details]).toEqual([9, expect.stringContaining('edge-1 (0001)')]);
    expect([edge.got, edge.peers.size]).toEqual([[], 0]);
  });

  test('changes go both ways, without an answer to a batch that wants none', async () => {
    const { edge, call, next } = await connect();
    call.write({ ...first, changed: [{ tenant: 'default', userId: 'ada', head: 3 }] });
    await next();
    expect(edge.told).toMatchObject([{ userId: 'ada', head: 3 }]);
    edge.announce('bob', 9);
    expect(await next()).toMatchObject({ batch: 0, changed: [{ userId: 'bob', head: 9 }] });
  });

  test('signals are answered, whichever side they came from; each side counts for itself', async () => {
    const { edge, call, next } = await connect();
    const session = edge.enter('ada');
    call.write(first);
    await next();
    const elsewhere = outcomesOf(edge, backgroundSignal('edge-2.0001.1', 'bob', 5_000));
    const { signals } = await next();
    expect(signals).toMatchObject([{ id: 1, userId: 'bob', sessionId: 'edge-2.0001.1' }]);
    call.write({
      signals: [backgroundSignal(session, 'ada', 41), backgroundSignal('gone', 'ada', 42)],
      signalResults: [{ id: 1, outcome: SignalOutcome.DONE }],
    });
    expect(await elsewhere).toEqual([SignalOutcome.DONE]);
    expect((await next()).signalResults).toMatchObject([
      { id: 41, outcome: SignalOutcome.DONE },
      { id: 42, outcome: SignalOutcome.NO_SESSION },
    ]);
  });

  test('a new view is told at once; who holds whom when it is asked', async () => {
    const { edge, call, next } = await connect();
    edge.enter('ada');
    call.write(first);
    await next();
    edge.sees('v2');
    expect(await next()).toMatchObject({ batch: 0, view: 'v2' });
    call.write({ batch: 1, presenceOf: [{ tenant: 'default', userId: 'bob' }, { userId: 'ada' }] });
    const { presences } = await next();
    expect(presences.map(({ streams }) => streams.length)).toEqual([0, 1]);
  });

  test('a port that closes says so to its links', async () => {
    const { edge, port, call, next } = await connect();
    const ended = new Promise<{ code: number }>((resolve) => call.once('error', resolve));
    call.write(first);
    await next();
    await port.close(limits.portCloseMs);
    expect((await ended).code).toBe(14);
    expect(edge.peers.size).toBe(0);
  });
});

describe('a router', () => {
  function serve(edge: FakeEdge, requests: AsyncIterable<MessageInitShape<typeof DeliverRequestSchema>>) {
    const clock = new ManualClock();
    const stop = new AbortController();
    async function* made() {
      for await (const request of requests) yield create(DeliverRequestSchema, request);
    }
    const answers = serveLink({ edge, clock, log: silentLog }, made(), { signal: stop.signal });
    return { answers, clock, stop };
  }

  test('that does not read its answers is not read either, and learns each change once, with the newest head', async () => {
    const edge = new FakeEdge('edge-1');
    let pulled = 0;
    const { answers, stop } = serve(
      edge,
      (async function* () {
        yield first;
        for (; pulled < 1_000; pulled++) yield batch(pulled + 1, ['ada']);
        await new Promise(() => {});
      })(),
    );
    await answers.next();
    expect((await answers.next()).value).toMatchObject({ batch: 1 });
    await settled();
    expect(pulled).toBeLessThanOrEqual(limits.linkBatchesCount + 2);
    for (let head = 1; head <= 5; head++) edge.announce('ada', head);
    const told: Changed[] = [];
    for (let at = 0; at < limits.linkBatchesCount; at++)
      told.push(...((await answers.next()).value as DeliverResponse).changed);
    stop.abort();
    for await (const { changed } of answers) told.push(...changed);
    expect(told).toMatchObject([{ userId: 'ada', head: 5 }]);
    expect(edge.peers.size).toBe(0);
  });

  test('that does not answer signals leaves them unreachable, each in its time and never too many', async () => {
    const edge = new FakeEdge('edge-1');
    const { answers, clock, stop } = serve(
      edge,
      (async function* () {
        yield first;
        await new Promise(() => {});
      })(),
    );
    await answers.next();
    const asked = Array.from({ length: limits.linkSignalsCount }, (_, n) =>
      outcomesOf(edge, backgroundSignal('edge-2.1.1', 'ada', n)),
    );
    expect(await outcomesOf(edge, backgroundSignal('edge-2.1.1', 'ada'))).toEqual([
      SignalOutcome.UNREACHABLE,
    ]);
    clock.advance(limits.signalMs);
    expect(new Set((await Promise.all(asked)).flat())).toEqual(new Set([SignalOutcome.UNREACHABLE]));
    // Those in flight when the link ends are told at once.
    const last = outcomesOf(edge, backgroundSignal('edge-2.1.1', 'ada'));
    stop.abort();
    expect(await last).toEqual([SignalOutcome.UNREACHABLE]);
  });

  test('that says nothing is not waited for', async () => {
    const edge = new FakeEdge('edge-1');
    const { answers, clock } = serve(
      edge,
      (async function* () {
        await new Promise(() => {});
        yield first;
      })(),
    );
    const greeting = answers.next();
    await settled();
    clock.advance(limits.linkGreetingMs);
    await expect(greeting).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  });
});
