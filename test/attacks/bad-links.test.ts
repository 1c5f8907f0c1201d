// Whatever comes over the port of the links, a session of this edge gets its items, and other links their answers.
import { on } from 'node:events';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { expect, onTestFinished, test, vi } from 'vitest';
import { FakeEdge } from '../../cluster/edge-link.fixture.ts';
import { settled, testHub } from '../../edge/hub.fixture.ts';
import { openLinkMount } from '../../edge/link-server.fixture.ts';
import {
  DeliverRequestSchema,
  type DeliverResponse,
  EdgeLinkService,
  SignalOutcome,
  SignalResultSchema,
  TargetOutcome,
} from '../../gen/carillon/v1/edge_link_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import { grpcClient } from '../../runtime/grpc-service.ts';
import { limits } from '../../runtime/limits.ts';
import { silentLog } from '../../runtime/log.ts';
import { openPort } from '../../runtime/one-port.ts';
import { deliverTail } from '../../storage/inbox-item.ts';
import { closing, connect, data, greeting, head, reset } from './http2-frames.ts';
import { callOver, http2Wires } from './wires.ts';

const PATH = '/carillon.v1.EdgeLinkService/Deliver';
const OUTCOME = TargetOutcome;

async function open() {
  const setting = testHub();
  const port = await openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [openLinkMount(setting.port, setting.clock)],
    maxMessageBytes: limits.linkMessageBytes,
    log: silentLog,
  });
  onTestFinished(() => port.close(0));
  const { stream, session } = setting.open();
  await settled();
  const ask = async (request: MessageInitShape<typeof DeliverRequestSchema>): Promise<DeliverResponse> => {
    using client = grpcClient(EdgeLinkService, `127.0.0.1:${port.port}`);
    const call = client.deliver();
    call.on('error', () => undefined);
    call.write({ incarnation: setting.port.incarnation, ...request });
    const answers = on(call, 'data', { signal: AbortSignal.timeout(10_000) });
    for await (const [answer] of answers as AsyncIterable<[DeliverResponse]>)
      if (answer.batch === request.batch) {
        call.end();
        return answer;
      }
    throw new Error('no answer');
  };
  /** The session gets the next item by a link of its own. */
  const unharmed = async () => {
    const { firstSeq, id } = setting.model.add();
    const item = deliverTail(setting.model.encoded(id), undefined);
    const { results } = await ask({
      batch: 1,
      items: [item],
      targets: [{ tenant: 'default', userId: 'ada', seq: firstSeq, item: 0 }],
    });
    expect(results.map(({ outcome }) => outcome)).toEqual([OUTCOME.WRITTEN]);
    expect(stream.of('deliver').at(-1)?.item?.notificationId).toBe(id);
  };
  return { ...setting, port, stream, session, ask, unharmed, address: `http://127.0.0.1:${port.port}` };
}

test.each([
  [
    'more than permitted',
    new Uint8Array(limits.linkMessageBytes + 1),
    Code.ResourceExhausted,
    'MESSAGE_TOO_LARGE',
  ],
  ['no message', new Uint8Array(11).fill(0xff), Code.InvalidArgument, 'INVALID_REQUEST'],
  [
    'a text that is not UTF-8',
    Uint8Array.from([0x1a, 4, 0x0a, 2, 0xc3, 0x28]),
    Code.InvalidArgument,
    'INVALID_REQUEST',
  ],
  [
    'a first request for another process',
    toBinary(DeliverRequestSchema, create(DeliverRequestSchema, { incarnation: 'i0', batch: 1 })),
    Code.FailedPrecondition,
    'EDGE_REPLACED',
  ],
  [
    'a first request that names none',
    toBinary(DeliverRequestSchema, create(DeliverRequestSchema, { batch: 1 })),
    Code.FailedPrecondition,
    'EDGE_REPLACED',
  ],
])('%s is refused with a reason', async (_name, message, code, reason) => {
  const { address, unharmed } = await open();
  for (const wire of http2Wires) {
    const answer = await callOver(wire, { address, path: PATH, streaming: true, message });
    expect([wire.name, answer.code, answer.reason]).toEqual([wire.name, code, reason]);
  }
  await unharmed();
});

test('links that are reset right after their head, or in the middle of a batch', async () => {
  const { address, unharmed } = await open();
  const batch = toBinary(
    DeliverRequestSchema,
    create(DeliverRequestSchema, {
      batch: 1,
      targets: Array.from({ length: 1_000 }, () => ({ userId: 'x' })),
    }),
  );
  const framed = Buffer.concat([Buffer.alloc(5), batch]);
  framed.writeUInt32BE(batch.length, 1);
  const request = { method: 'POST', path: PATH, headers: [['content-type', 'application/grpc']] } as const;
  for (let count = 0; count < 20; count++) {
    const socket = await connect(address);
    const closed = closing(socket.resume());
    const bytes = [greeting, head(1, request), reset(1), head(3, request), data(3, framed), reset(3)];
    socket.end(Buffer.concat([...bytes, head(5, request), data(5, framed.subarray(0, 100))]));
    await closed;
  }
  await unharmed();
});

test('a batch that names items it does not bring, users who are not here, positions that cannot be', async () => {
  const { ask, unharmed, stream } = await open();
  await unharmed();
  const target = (userId: string, seq: number, item: number, tenant = 'default') => ({
    tenant,
    userId,
    seq,
    item,
  });
  const { results } = await ask({
    batch: 0xffff_ffff,
    items: [Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0xff, 0x22])],
    targets: [
      target('ada', 2, 7),
      target('nobody', 2, 0),
      target('__proto__', 2, 0, '__proto__'),
      target('ada', 0, 0),
      target('ada', 4_294_967_295, 0),
    ],
    changed: [{ tenant: 'default', userId: 'ada', head: 4_294_967_295 }],
  });
  const { NO_SESSION, CATCHING_UP } = OUTCOME;
  expect(results.map(({ outcome }) => outcome)).toEqual([
    NO_SESSION,
    NO_SESSION,
    NO_SESSION,
    NO_SESSION,
    CATCHING_UP,
  ]);
  await settled();
  expect(stream.of('deliver')).toHaveLength(1);
  await unharmed();
});

test('signals for sessions that cannot be, for those of others, and without anything to say', async () => {
  const { ask, unharmed, stream, session } = await open();
  const { id } = session;
  const signal = (userId: string, sessionId: string, more = {}) => ({
    id: 0xffff_ffff,
    tenant: 'default',
    userId,
    sessionId,
    what: { case: 'acknowledged' as const, value: 0xffff_ffff },
    ...more,
  });
  const malformed = [
    '',
    '.',
    '..',
    '...',
    `${id}x`,
    `${id}.`,
    id.toUpperCase(),
    '__proto__',
    'x'.repeat(1_000),
  ];
  const { signalResults } = await ask({
    batch: 1,
    signals: [
      ...malformed.map((sessionId) => signal('ada', sessionId)),
      signal('bob', id),
      signal('ada', id, { tenant: 'another' }),
      signal('ada', id, { deviceId: 'of another token' }),
      signal('ada', id, { what: { case: undefined } }),
      signal('ada', id, { what: { case: 'activity', value: 77 } }),
    ],
    signalResults: [
      { id: 1, outcome: SignalOutcome.DONE },
      { id: 0, outcome: SignalOutcome.UNSPECIFIED },
      { id: 99, outcome: 9 as SignalOutcome },
    ].map((result) => create(SignalResultSchema, result)),
    presenceOf: [{ userId: '__proto__', tenant: '__proto__' }, {}],
  });
  const refused = malformed.length + 3;
  expect(signalResults.slice(0, refused).map(({ outcome }) => outcome)).toEqual(
    Array(refused).fill(SignalOutcome.NO_SESSION),
  );
  expect(signalResults).toHaveLength(refused + 2);
  await settled();
  expect(stream.over).toBe(false);
  await unharmed();
});

test('a router that sends and sends, and reads nothing, is not read beyond a bound; others are', async () => {
  const edge = new FakeEdge('edge-1');
  const port = await openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [openLinkMount(edge)],
    maxMessageBytes: limits.linkMessageBytes,
    log: silentLog,
  });
  onTestFinished(() => port.close(0));
  using deaf = grpcClient(EdgeLinkService, `127.0.0.1:${port.port}`);
  const call = deaf.deliver();
  call.on('error', () => undefined);
  const targets = Array.from({ length: limits.linkTargetsCount }, (_, seq) => ({ userId: 'deaf', seq }));
  const BATCHES = 5_000;
  call.write({ incarnation: edge.incarnation });
  // grpc-js keeps whatever comes before its first message is taken.
  await new Promise((resolve) => call.once('data', resolve));
  call.pause();
  for (let batch = 1; batch <= BATCHES; batch++) call.write({ batch, targets });
  const read = () => edge.got.filter(({ userId }) => userId === 'deaf').length / limits.linkTargetsCount;
  await vi.waitFor(() => expect(read()).toBeGreaterThan(limits.linkBatchesCount), { timeout: 10_000 });

  using other = grpcClient(EdgeLinkService, `127.0.0.1:${port.port}`);
  const answers = other.deliver();
  answers.on('error', () => undefined);
  const heard: number[] = [];
  answers.on('data', ({ batch }: DeliverResponse) => heard.push(batch));
  answers.write({ incarnation: edge.incarnation });
  for (let batch = 1; batch <= 50; batch++) answers.write({ batch, targets: [{ userId: 'ada' }] });
  await vi.waitFor(() => expect(heard).toHaveLength(51), { timeout: 10_000 });
  // Written, answered and not read: what the windows of HTTP/2 hold, about 300 batches, and then nothing more.
  for (let before = -1; before < read(); ) {
    before = read();
    for (let turn = 0; turn < 200; turn++) await settled();
  }
  expect(read()).toBeLessThan(BATCHES / 2);
  call.cancel();
  answers.cancel();
});

test('a router that is gone without a word is noticed, one that is only silent is not', async () => {
  const edge = new FakeEdge('edge-1');
  const clock = new ManualClock();
  const port = await openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [openLinkMount(edge)],
    maxMessageBytes: limits.linkMessageBytes,
    log: silentLog,
    clock,
  });
  onTestFinished(() => port.close(0));
  using silent = grpcClient(EdgeLinkService, `127.0.0.1:${port.port}`);
  const call = silent.deliver();
  call.on('error', () => undefined).on('data', () => undefined);
  call.write({ incarnation: edge.incarnation });
  await vi.waitFor(() => expect(edge.peers.size).toBe(1), { timeout: 10_000 });

  const first = toBinary(
    DeliverRequestSchema,
    create(DeliverRequestSchema, { incarnation: edge.incarnation }),
  );
  const framed = Buffer.concat([Buffer.alloc(5), first]);
  framed.writeUInt32BE(first.length, 1);
  const socket = await connect(`http://127.0.0.1:${port.port}`);
  const closed = closing(socket.resume());
  const request = { method: 'POST', path: PATH, headers: [['content-type', 'application/grpc']] } as const;
  socket.write(Buffer.concat([greeting, head(1, request), data(1, framed)]));
  await vi.waitFor(() => expect(edge.peers.size).toBe(2), { timeout: 10_000 });
  clock.advance(limits.portSweepMs);
  // The silent one has answered its ping when it has answered a batch that came after it.
  const answered = new Promise((resolve) => call.once('data', resolve));
  call.write({ batch: 1 });
  await answered;
  clock.advance(limits.portSweepMs);
  await closed;
  await vi.waitFor(() => expect(edge.peers.size).toBe(1), { timeout: 10_000 });
  call.cancel();
});
