// Links over gRPC when edges hang, die, come back, are replaced or leave, and when the way between is cut in the middle of a batch.
import { expect, it, onTestFinished } from 'vitest';
import {
  backgroundSignal,
  edgeMember,
  FakeEdge,
  FakeMembership,
  FakeWhereabouts,
  outcomesOf,
  target,
} from '../cluster/edge-link.fixture.ts';
import { grpcEdgeLinks } from '../cluster/edge-link.grpc.ts';
import type { EdgePort, TargetResult } from '../cluster/edge-link.ts';
import { settled, testHub } from '../edge/hub.fixture.ts';
import { openLinkMount } from '../edge/link-server.fixture.ts';
import { SignalOutcome, TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { createLog, silentLog } from '../runtime/log.ts';
import { openPort } from '../runtime/one-port.ts';
import { deliverTail } from '../storage/inbox-item.ts';
import { openCutProxy } from './support/cut-proxy.ts';

const bytes = (length: number) => new Uint8Array(length).fill(7);
const outcomes = (results: readonly TargetResult[]) => results.map(({ outcome }) => outcome);
const NOBODY = [TargetOutcome.NO_SESSION];
const DONE = [TargetOutcome.ALREADY];
const SOON = { timeout: 10_000 };

async function serve(edge: EdgePort, port = 0, clock: Clock = systemClock) {
  const opened = await openPort({
    host: '127.0.0.1',
    port,
    mounts: [openLinkMount(edge, clock)],
    maxMessageBytes: limits.linkMessageBytes,
    log: silentLog,
  });
  onTestFinished(() => opened.close(0));
  return opened;
}

function openLinks(membership: FakeMembership, { log = silentLog, clock = systemClock } = {}) {
  const presence = new FakeWhereabouts();
  const links = grpcEdgeLinks({ membership, presence, clock, ids: systemIds, log });
  onTestFinished(() => links[Symbol.asyncDispose]());
  return links;
}

/** One edge behind a way that can be cut, and a router linked to it. */
async function open(clock: Clock = systemClock) {
  const edge = new FakeEdge('edge-1');
  const port = await serve(edge, 0, clock);
  const proxy = await openCutProxy(() => port.port);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const membership = new FakeMembership();
  const member = edgeMember(edge, `127.0.0.1:${proxy.port}`);
  membership.become(member);
  const links = openLinks(membership, { clock });
  await expect.poll(() => links.linked(), SOON).toEqual(['edge-1']);
  const ask = async (seq: number, item = bytes(1)) =>
    outcomes(await links.deliver('edge-1', [item], [target('ada', seq)]));
  const seqs = () => edge.got.map(({ seq }) => seq);
  return { edge, port, proxy, membership, member, links, ask, seqs };
}

it('do not wait for an edge that hangs, and use it again when it answers', async () => {
  const clock = new ManualClock();
  const { edge, ask, seqs } = await open(clock);
  const held = Promise.withResolvers<void>();
  edge.hold = held.promise;
  const late = ask(1);
  clock.advance(limits.linkAnswerMs);
  expect(await late).toEqual(NOBODY);
  // Stalled: one batch asks whether it is back, others are answered at once.
  const probe = ask(2);
  expect(await ask(3)).toEqual(NOBODY);
  edge.hold = undefined;
  held.resolve();
  expect(await probe).toEqual(DONE);
  expect(await ask(4)).toEqual(DONE);
  expect(seqs()).toEqual([1, 2, 4]);
});

it('say UNREACHABLE of an edge that takes a signal and does not answer', async () => {
  const clock = new ManualClock();
  const { edge, links, ask } = await open(clock);
  const held = Promise.withResolvers<void>();
  edge.hold = held.promise;
  const batch = ask(1);
  await expect.poll(() => edge.got.length, SOON).toBe(1);
  // It is behind a batch that hangs.
  const result = outcomesOf(edge, backgroundSignal(edge.enter('ada'), 'ada'));
  clock.advance(limits.signalMs);
  expect(await result).toEqual([SignalOutcome.UNREACHABLE]);
  expect(edge.signals).toEqual([]);
  expect(await batch).toEqual(NOBODY);
  held.resolve();
  expect(await ask(2)).toEqual(DONE);
  expect(links.linked()).toEqual(['edge-1']);
});

it('open anew when an edge says nothing at all for too long', async () => {
  const clock = new ManualClock();
  const { edge, proxy, ask } = await open(clock);
  edge.hold = new Promise(() => {});
  for (let waitedMs = 0; waitedMs <= limits.linkSilentMs; waitedMs += limits.linkAnswerMs) {
    expect(proxy.taken).toBe(1);
    const late = ask(waitedMs);
    clock.advance(limits.linkAnswerMs);
    expect(await late).toEqual(NOBODY);
  }
  edge.hold = undefined;
  await expect.poll(() => edge.peers.size, SOON).toBe(0);
  const back = ask(99);
  // The pause before it is opened again.
  const peersLater = () => {
    clock.advance(limits.linkReconnectMs);
    return edge.peers.size;
  };
  await expect.poll(peersLater, SOON).toBe(1);
  expect([DONE, NOBODY]).toContainEqual(await back);
  expect(await ask(100)).toEqual(DONE);
});

it('keep no more than so many batches', async () => {
  const { edge, ask } = await open(new ManualClock());
  const held = Promise.withResolvers<void>();
  edge.hold = held.promise;
  const waiting = Array.from({ length: limits.linkPendingCount }, (_, n) => ask(n));
  expect(await ask(999)).toEqual(NOBODY);
  edge.hold = undefined;
  held.resolve();
  expect(await Promise.all(waiting)).toEqual(Array(limits.linkPendingCount).fill(DONE));
});

it('let batches wait for a link that is being opened, and refuse them at once when it cannot be', async () => {
  const edge = new FakeEdge('edge-1');
  const port = await serve(edge);
  const membership = new FakeMembership();
  membership.become(edgeMember(edge, `127.0.0.1:${port.port}`));
  const links = openLinks(membership);
  expect(links.linked()).toEqual([]);
  expect(outcomes(await links.deliver('edge-1', [bytes(1)], [target('ada', 1)]))).toEqual(DONE);

  await port.close(0);
  membership.become(edgeMember(new FakeEdge('edge-2'), `127.0.0.1:${port.port}`));
  // Nobody listens: the first answer comes when that is known, the others at once.
  const startMs = systemClock.monotonic();
  for (let n = 0; n < 50; n++)
    expect(outcomes(await links.deliver('edge-2', [bytes(1)], [target('ada', n)]))).toEqual(NOBODY);
  expect(systemClock.monotonic() - startMs).toBeLessThan(10 * limits.linkAnswerMs);
});

it('lose nothing when they are cut in the middle of a batch: what was not answered is sent again, and written once', async () => {
  const setting = testHub();
  const port = await serve(setting.port);
  const proxy = await openCutProxy(() => port.port);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const membership = new FakeMembership();
  const { node, incarnation } = setting.port;
  membership.become(edgeMember(new FakeEdge(node, incarnation), `127.0.0.1:${proxy.port}`));
  const links = openLinks(membership);
  await expect.poll(() => links.linked(), SOON).toEqual([node]);
  const { stream } = setting.open();
  await settled();
  const deliver = async (seq: number) => {
    const item = deliverTail(setting.model.encoded(`n${seq}`), undefined);
    const [result] = await links.deliver(node, [item, bytes(200_000)], [target('ada', seq)]);
    return result?.outcome;
  };
  for (let seq = 1; seq <= 8; seq++) {
    setting.model.add();
    // This one never arrives as a whole.
    if (seq % 2 === 0) {
      proxy.cutAfter(100_000);
      expect(await deliver(seq)).toBe(TargetOutcome.NO_SESSION);
    }
    // The row comes due: the router asks again.
    const shown: unknown[] = [TargetOutcome.WRITTEN, TargetOutcome.ALREADY];
    await expect.poll(async () => shown.includes(await deliver(seq)), SOON).toBe(true);
  }
  expect(proxy.taken).toBeGreaterThanOrEqual(5);
  expect(stream.of('deliver').map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

it('answer for an edge that dies, and find the one that follows it at the same address or another', async () => {
  const { edge, port, proxy, membership, links, ask } = await open();
  edge.hold = new Promise<void>(() => {});
  const lost = ask(1);
  await expect.poll(() => edge.got.length, SOON).toBe(1);
  await port.close(0);
  expect(await lost).toEqual(NOBODY);
  expect(links.viewOf('edge-1')).toBeUndefined();

  // Restarted on the same port before the old lease ran out: another process, whose sessions are others.
  const restarted = new FakeEdge('edge-1', '0002');
  await serve(restarted, port.port);
  await expect.poll(() => proxy.taken, SOON).toBeGreaterThan(1);
  expect(await ask(2)).toEqual(NOBODY);
  expect(restarted.got).toEqual([]);
  membership.become(edgeMember(restarted, `127.0.0.1:${proxy.port}`));
  await expect.poll(() => ask(3), SOON).toEqual(DONE);

  const moved = new FakeEdge('edge-1', '0003');
  const { port: elsewhere } = await serve(moved);
  membership.become(edgeMember(moved, `127.0.0.1:${elsewhere}`));
  await expect.poll(() => ask(4), SOON).toEqual(DONE);
  expect(moved.got.map(({ seq }) => seq)).toContain(4);
  expect(restarted.got.map(({ seq }) => seq)).not.toContain(4);
});

it('end with a clear status when the address belongs to another process', async () => {
  const lines: string[] = [];
  const log = createLog({ level: 'warn', destination: { write: (line: string) => void lines.push(line) } });
  const edge = new FakeEdge('edge-1', '0002');
  const port = await serve(edge);
  const membership = new FakeMembership();
  membership.become({ ...edgeMember(edge, `127.0.0.1:${port.port}`), incarnation: '0001' });
  const links = openLinks(membership, { log });
  await expect.poll(() => lines.join(''), SOON).toContain('FAILED_PRECONDITION');
  expect(lines.join('')).toContain('edge-1 (0002)');
  expect(links.linked()).toEqual([]);
  expect(edge.peers.size).toBe(0);
});

it('serve an edge that leaves until it closes them, and do not open them again', async () => {
  const { edge, port, proxy, membership, member, links, ask } = await open();
  membership.become();
  expect(links.linked()).toEqual(['edge-1']);
  expect(await ask(1)).toEqual(DONE);
  // It was no leave but a lost lease: the link that held goes on, and is opened again when it breaks.
  membership.become(member);
  proxy.cut();
  await expect.poll(() => ask(2), SOON).toEqual(DONE);
  expect(proxy.taken).toBe(2);
  membership.become();
  await port.close(0);
  await expect.poll(() => links.linked(), SOON).toEqual([]);
  await serve(edge, port.port);
  expect(await ask(3)).toEqual(NOBODY);
  expect(proxy.taken).toBe(2);
});

it('reach an edge that was gone from the view for a moment, before its link was open', async () => {
  const edge = new FakeEdge('edge-1');
  const { port } = await serve(edge);
  const membership = new FakeMembership();
  const member = edgeMember(edge, `127.0.0.1:${port}`);
  membership.become(member);
  const links = openLinks(membership);
  membership.become();
  membership.become(member);
  await expect.poll(() => links.linked(), SOON).toEqual(['edge-1']);
});
