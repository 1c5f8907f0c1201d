// Both kinds of links keep the same promises: items and answers, what edges say to one another, and who holds whom.
import { describe, expect, it } from 'vitest';
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
import { localEdgeLinks } from '../cluster/edge-link.local.ts';
import type { EdgeLinks, EdgePort, TargetResult } from '../cluster/edge-link.ts';
import { MemoryMembership } from '../cluster/membership.memory.ts';
import { Ownership } from '../cluster/ownership.ts';
import { edgesToAsk } from '../cluster/whom.ts';
import { openLinkMount } from '../edge/link-server.fixture.ts';
import { SignalOutcome, TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { openPort } from '../runtime/one-port.ts';

const bytes = (length: number) => new Uint8Array(length).fill(7);
const outcomes = (results: readonly TargetResult[]) => results.map(({ outcome }) => outcome);
const NOBODY = TargetOutcome.NO_SESSION;
const SOON = { timeout: 10_000 };
const ada = { tenant: 'default', userId: 'ada' };

interface Mesh extends AsyncDisposable {
  edges: [FakeEdge, FakeEdge];
  presence: FakeWhereabouts;
  membership: FakeMembership;
  /** Of one router, and of another. */
  links: [EdgeLinks, EdgeLinks];
}

const twoEdges = (): [FakeEdge, FakeEdge] => [new FakeEdge('edge-1'), new FakeEdge('edge-2')];

const serve = (edge: EdgePort) =>
  openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [openLinkMount(edge)],
    maxMessageBytes: limits.linkMessageBytes,
    log: silentLog,
  });

async function overGrpc(): Promise<Mesh> {
  await using owned = new AsyncDisposableStack();
  const edges = twoEdges();
  const [presence, membership] = [new FakeWhereabouts(), new FakeMembership()];
  const ports = [owned.use(await serve(edges[0])), owned.use(await serve(edges[1]))];
  membership.become(...edges.map((edge, at) => edgeMember(edge, `127.0.0.1:${ports[at]?.port}`)));
  const open = () =>
    owned.use(grpcEdgeLinks({ membership, presence, clock: systemClock, ids: systemIds, log: silentLog }));
  const links: [EdgeLinks, EdgeLinks] = [open(), open()];
  for (const each of links)
    await expect.poll(() => [...each.linked()].sort(), SOON).toEqual(['edge-1', 'edge-2']);
  const moved = owned.move();
  return { edges, presence, membership, links, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

function inOneProcess(): Promise<Mesh> {
  const owned = new AsyncDisposableStack();
  const edges = twoEdges();
  const presence = new FakeWhereabouts();
  const open = () => owned.use(localEdgeLinks({ edges, presence, clock: systemClock }));
  return Promise.resolve({
    edges,
    presence,
    membership: new FakeMembership(),
    links: [open(), open()],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  });
}

describe.each([
  ['in one process', inOneProcess],
  ['over gRPC', overGrpc],
])('links %s', (_name, open) => {
  it('bring items to their edge and its answers back, in the order of the targets', async () => {
    await using mesh = await open();
    const [links] = mesh.links;
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        links.deliver('edge-2', [bytes(10), bytes(n)], [target('ada', n), target('bob', 1_000 + n, 1)]),
      ),
    );
    answers.forEach((results, n) => {
      expect(results.map(({ agoMs }) => agoMs)).toEqual([n, 1_000 + n]);
    });
    expect(mesh.edges[0].got).toEqual([]);
    expect(mesh.edges[1].got).toHaveLength(40);
    expect(mesh.edges[1].got).toContainEqual({ bytes: 7, userId: 'bob', seq: 1_007 });
    expect([...links.linked()].sort()).toEqual(['edge-1', 'edge-2']);
  });

  it('bring the largest item there is', async () => {
    await using mesh = await open();
    const results = await mesh.links[0].deliver(
      'edge-1',
      [bytes(limits.linkBatchBytes), bytes(limits.ingestMessageBytes)],
      [target('ada', 5, 1)],
    );
    expect(outcomes(results)).toEqual([TargetOutcome.ALREADY]);
    expect(mesh.edges[0].got).toEqual([{ bytes: limits.ingestMessageBytes, userId: 'ada', seq: 5 }]);
  });

  it('say of an edge that nobody knows: nobody is there', async () => {
    await using mesh = await open();
    const [links] = mesh.links;
    const results = await links.deliver('edge-9', [bytes(1)], [target('ada', 1), target('bob', 1)]);
    expect(outcomes(results)).toEqual([NOBODY, NOBODY]);
    expect(await links.held('edge-9', [ada])).toBeUndefined();
    expect(links.viewOf('edge-9')).toBeUndefined();
  });

  it('tell what changed through one edge to the others that hold the user, and only to them', async () => {
    await using mesh = await open();
    const [first, second] = mesh.edges;
    mesh.presence.set('ada', ['edge-1', 'edge-2']);
    mesh.presence.set('bob', ['edge-1']);
    first.announce('ada', 4);
    first.announce('bob', 2);
    first.announce('ada', 5);
    await expect.poll(() => second.told.length, SOON).toBeGreaterThan(0);
    expect(new Set(second.told.map(({ userId, head }) => `${userId} ${head}`))).toEqual(new Set(['ada 5']));
    expect(first.told).toEqual([]);
  });

  it('tell all the others when the hints are lost', async () => {
    await using mesh = await open();
    const [first, second] = mesh.edges;
    mesh.presence.set('ada', [], false);
    second.announce('ada', 9);
    await expect.poll(() => first.told.map(({ head }) => head), SOON).toContain(9);
    expect(second.told).toEqual([]);
  });

  it('hand a signal to the edge that holds the session, by either router, and bring back what became of it', async () => {
    await using mesh = await open();
    const [first, second] = mesh.edges;
    const session = second.enter('ada');
    expect(first.peers.size).toBe(2);
    expect(await outcomesOf(first, backgroundSignal(session, 'ada'))).toEqual(
      Array(2).fill(SignalOutcome.DONE),
    );
    expect(second.signals.map(({ sessionId, what }) => [sessionId, what.case])).toEqual(
      Array(2).fill([session, 'activity']),
    );
    // Not that user's, not open any more, and of an edge that is not there.
    for (const [id, user, outcome] of [
      [session, 'bob', SignalOutcome.NO_SESSION],
      ['edge-2.0001.99', 'ada', SignalOutcome.NO_SESSION],
      ['edge-9.0001.1', 'ada', SignalOutcome.UNREACHABLE],
      ['', 'ada', SignalOutcome.UNREACHABLE],
    ] as const)
      expect(await outcomesOf(first, backgroundSignal(id, user))).toEqual([outcome, outcome]);
  });

  it('bring back the right result to each of many signals at once, from both sides', async () => {
    await using mesh = await open();
    const [first, second] = mesh.edges;
    const signals = Array.from({ length: 200 }, (_, n) => {
      const [from, to] = n % 2 ? [first, second] : [second, first];
      const session = to.enter(`user-${n}`);
      return { from, signal: backgroundSignal(session, n % 3 ? `user-${n}` : 'another', n) };
    });
    const results = await Promise.all(signals.map(({ from, signal }) => outcomesOf(from, signal)));
    results.forEach((each, n) => {
      expect(each).toEqual(Array(2).fill(n % 3 ? SignalOutcome.DONE : SignalOutcome.NO_SESSION));
    });
  });

  it('ask an edge for the streams of users, in their order', async () => {
    await using mesh = await open();
    const [, second] = mesh.edges;
    const session = second.enter('ada');
    const held = await mesh.links[1].held('edge-2', [{ ...ada, userId: 'bob' }, ada]);
    expect(held?.map(({ streams }) => streams.map(({ sessionId }) => sessionId))).toEqual([[], [session]]);
    expect(await mesh.links[0].held('edge-1', [ada])).toMatchObject([{ streams: [] }]);
  });

  it('know which view each edge has, without a batch; both owners are asked while views differ', async () => {
    await using mesh = await open();
    const [links] = mesh.links;
    const [first, second] = mesh.edges;
    const seen = () => ['edge-1', 'edge-2'].map((edge) => links.viewOf(edge));
    expect(seen()).toEqual(['v1', 'v1']);
    first.sees('v2');
    await expect.poll(seen, SOON).toEqual(['v2', 'v1']);
    const whereabouts = { edges: ['edge-1'], known: true };
    for (const edge of edgesToAsk(whereabouts, ['edge-2', 'edge-1'], links.linked(), 16))
      await links.deliver(edge, [bytes(1)], [target('ada', 8)]);
    expect(mesh.edges.map(({ got }) => got.map(({ seq }) => seq))).toEqual([[8], [8]]);
    second.sees('v2');
    await expect.poll(seen, SOON).toEqual(['v2', 'v2']);
  });

  it('give an item to the new and the old owner until every edge has said that it has the new view', async () => {
    await using mesh = await open();
    const [links] = mesh.links;
    const [first, second] = mesh.edges;
    const membership = new MemoryMembership();
    const seenBy = (...edges: FakeEdge[]) => {
      for (const edge of edges) edge.sees(membership.view().hash);
    };
    await membership.announce(edgeMember(first));
    using ownership = new Ownership({
      membership,
      clock: systemClock,
      linked: () => links.linked(),
      viewOf: (edge) => links.viewOf(edge),
    });
    seenBy(first, second);
    const user = { tenant: 'default', userId: '' };
    await membership.announce(edgeMember(second));
    // Somebody whom the second edge takes over from the first.
    for (let n = 0; ownership.owner(user)?.node !== 'edge-2'; n++) user.userId = `user-${n}`;
    const known = { edges: [], known: true };
    const show = async (seq: number) => {
      const asked = edgesToAsk(known, ownership.owners(user), links.linked(), limits.askEdgesCount);
      for (const edge of asked) await links.deliver(edge, [bytes(1)], [target(user.userId, seq)]);
      return asked;
    };
    expect(await show(1)).toEqual(['edge-2', 'edge-1']);
    seenBy(first);
    expect(await show(2)).toEqual(['edge-2', 'edge-1']);
    expect(mesh.edges.map(({ got }) => got.map(({ seq }) => seq))).toEqual([
      [1, 2],
      [1, 2],
    ]);
    seenBy(second);
    const owners = () => ownership.owners(user);
    await expect.poll(owners, SOON).toEqual(['edge-2']);
    // While the hints hold, who is nowhere is not looked for.
    expect(await show(3)).toEqual([]);
  });

  it('may be closed twice, and then reach nobody and are reached by nobody', async () => {
    await using mesh = await open();
    const [links, others] = mesh.links;
    for (const each of [links, others, links]) await each[Symbol.asyncDispose]();
    expect(outcomes(await links.deliver('edge-1', [bytes(1)], [target('ada', 1)]))).toEqual([NOBODY]);
    expect(await links.held('edge-2', [ada])).toBeUndefined();
    expect(links.linked()).toEqual([]);
    await expect.poll(() => mesh.edges.map(({ peers }) => peers.size), SOON).toEqual([0, 0]);
  });
});
