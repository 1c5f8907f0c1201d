// Both kinds of links keep the same promises; those over gRPC also when edges hang, die, come back and speak to one another.
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { grpcEdgeLinks } from '../cluster/edge-link.grpc.ts';
import { localEdgeLinks } from '../cluster/edge-link.local.ts';
import type { Changed, EdgeLinks, EdgePort, Target, TargetResult } from '../cluster/edge-link.ts';
import type { EdgeMember, Membership } from '../cluster/membership.ts';
import { linkMount } from '../edge/link-server.ts';
import {
  ChangedSchema,
  TargetOutcome,
  TargetResultSchema,
  TargetSchema,
} from '../gen/carillon/v1/edge_link_pb.ts';
import { FakePresence } from '../router/router.fixture.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { type OnePort, openPort } from '../runtime/one-port.ts';

class FakeEdge implements EdgePort {
  readonly node: string;
  readonly got: { bytes: number; userId: string; seq: number }[] = [];
  readonly told: Changed[] = [];
  readonly #listeners = new Set<(users: readonly Changed[]) => void>();
  /** While set, answers wait for it. */
  hold: Promise<void> | undefined;

  constructor(node: string) {
    this.node = node;
  }
  async deliver(items: readonly Uint8Array[], targets: readonly Target[]): Promise<TargetResult[]> {
    for (const { userId, seq, item } of targets) this.got.push({ bytes: items[item]!.length, userId, seq });
    await this.hold;
    return targets.map(({ seq }) =>
      create(TargetResultSchema, { outcome: TargetOutcome.ALREADY, agoMs: seq }),
    );
  }
  changed(users: readonly Changed[]): void {
    this.told.push(...users);
  }
  onChanged(listener: (users: readonly Changed[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  announce(userId: string, head: number): void {
    for (const listener of this.#listeners)
      listener([create(ChangedSchema, { tenant: 'default', userId, head })]);
  }
}

const target = (userId: string, seq: number, item = 0): Target =>
  create(TargetSchema, { tenant: 'default', userId, seq, item });
const bytes = (length: number) => new Uint8Array(length).fill(7);
const outcomes = (results: readonly TargetResult[]) => results.map(({ outcome }) => outcome);
const NOBODY = TargetOutcome.NO_SESSION;

class FakeMembership implements Membership {
  members: EdgeMember[] = [];
  announce(): Promise<AsyncDisposable> {
    return Promise.reject(new Error('not here'));
  }
  edges(): Promise<EdgeMember[]> {
    return Promise.resolve(this.members);
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}

const serve = (edge: EdgePort, port = 0): Promise<OnePort> =>
  openPort({
    host: '127.0.0.1',
    port,
    mounts: [linkMount(edge, silentLog)],
    maxMessageBytes: limits.linkMessageBytes,
    log: silentLog,
  });
const memberOf = (edge: EdgePort, { port }: OnePort, incarnation = '1'): EdgeMember => ({
  node: edge.node,
  incarnation,
  linkAddress: `127.0.0.1:${port}`,
});

interface Mesh extends AsyncDisposable {
  edges: [FakeEdge, FakeEdge];
  ports: OnePort[];
  membership: FakeMembership;
  presence: FakePresence;
  links: EdgeLinks;
}

async function overGrpc(): Promise<Mesh> {
  const edges: [FakeEdge, FakeEdge] = [new FakeEdge('edge-1'), new FakeEdge('edge-2')];
  const ports = [await serve(edges[0]), await serve(edges[1])];
  const membership = new FakeMembership();
  membership.members = edges.map((edge, index) => memberOf(edge, ports[index]!));
  const presence = new FakePresence();
  const links = grpcEdgeLinks({ membership, presence, clock: systemClock, ids: systemIds, log: silentLog });
  await expect.poll(() => [...links.linked()].sort(), { timeout: 5_000 }).toEqual(['edge-1', 'edge-2']);
  return {
    edges,
    ports,
    membership,
    presence,
    links,
    async [Symbol.asyncDispose]() {
      await links[Symbol.asyncDispose]();
      await Promise.all(ports.map((port) => port.close(0)));
    },
  };
}

async function inOneProcess(): Promise<Mesh> {
  const edges: [FakeEdge, FakeEdge] = [new FakeEdge('edge-1'), new FakeEdge('edge-2')];
  const presence = new FakePresence();
  const links = localEdgeLinks({ edges, presence, clock: systemClock });
  return {
    edges,
    ports: [],
    membership: new FakeMembership(),
    presence,
    links,
    [Symbol.asyncDispose]: () => links[Symbol.asyncDispose](),
  };
}

describe.each([
  ['in one process', inOneProcess],
  ['over gRPC', overGrpc],
])('links %s', (_name, open) => {
  it('bring items to their edge and its answers back, in the order of the targets', async () => {
    await using mesh = await open();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        mesh.links.deliver('edge-2', [bytes(10), bytes(n)], [target('ada', n), target('bob', 1_000 + n, 1)]),
      ),
    );
    answers.forEach((results, n) => {
      expect(results.map(({ agoMs }) => agoMs)).toEqual([n, 1_000 + n]);
    });
    expect(mesh.edges[0].got).toEqual([]);
    expect(mesh.edges[1].got).toHaveLength(40);
    expect(mesh.edges[1].got).toContainEqual({ bytes: 7, userId: 'bob', seq: 1_007 });
    expect([...mesh.links.linked()].sort()).toEqual(['edge-1', 'edge-2']);
  });

  it('bring the largest item there is', async () => {
    await using mesh = await open();
    const results = await mesh.links.deliver(
      'edge-1',
      [bytes(limits.linkBatchBytes), bytes(limits.ingestMessageBytes)],
      [target('ada', 5, 1)],
    );
    expect(outcomes(results)).toEqual([TargetOutcome.ALREADY]);
    expect(mesh.edges[0].got).toEqual([{ bytes: limits.ingestMessageBytes, userId: 'ada', seq: 5 }]);
  });

  it('say of an edge that nobody knows: nobody is there', async () => {
    await using mesh = await open();
    expect(
      outcomes(await mesh.links.deliver('edge-9', [bytes(1)], [target('ada', 1), target('bob', 1)])),
    ).toEqual([NOBODY, NOBODY]);
  });

  it('tell what changed through one edge to the others that hold the user, and only to them', async () => {
    await using mesh = await open();
    const [first, second] = mesh.edges;
    mesh.presence.where.set('ada', { edges: ['edge-1', 'edge-2'], vanishedAtMs: undefined });
    mesh.presence.where.set('bob', { edges: ['edge-1'], vanishedAtMs: undefined });
    // The stream of a link is served a moment after it was opened.
    await mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 1)]);
    first.announce('ada', 4);
    first.announce('bob', 2);
    first.announce('ada', 5);
    await expect.poll(() => second.told.length, { timeout: 5_000 }).toBeGreaterThan(0);
    expect(second.told.map(({ userId, head }) => [userId, head])).toEqual([['ada', 5]]);
    expect(first.told).toEqual([]);
  });

  it('may be closed twice, and then reach nobody', async () => {
    await using mesh = await open();
    await mesh.links[Symbol.asyncDispose]();
    await mesh.links[Symbol.asyncDispose]();
    expect(outcomes(await mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 1)]))).toEqual([NOBODY]);
  });
});

describe('links over gRPC', () => {
  it('do not wait for an edge that hangs, and use it again when it answers', async () => {
    await using mesh = await overGrpc();
    const [edge] = mesh.edges;
    const held = Promise.withResolvers<void>();
    edge.hold = held.promise;
    const startMs = systemClock.monotonic();
    const first = await mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 1)]);
    expect(outcomes(first)).toEqual([NOBODY]);
    expect(systemClock.monotonic() - startMs).toBeGreaterThanOrEqual(limits.linkAnswerMs - 50);
    // Stalled: one batch asks whether it is back, others are answered at once.
    const probe = mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 2)]);
    const beforeMs = systemClock.monotonic();
    expect(outcomes(await mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 3)]))).toEqual([NOBODY]);
    expect(systemClock.monotonic() - beforeMs).toBeLessThan(limits.linkAnswerMs / 2);
    expect(edge.got.map(({ seq }) => seq)).not.toContain(3);
    edge.hold = undefined;
    held.resolve();
    await probe;
    expect(outcomes(await mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 4)]))).toEqual([
      TargetOutcome.ALREADY,
    ]);
  });

  it('keep no more than so many batches without answer', async () => {
    await using mesh = await overGrpc();
    const [edge] = mesh.edges;
    const held = Promise.withResolvers<void>();
    edge.hold = held.promise;
    const waiting = Array.from({ length: limits.linkPendingCount }, (_, n) =>
      mesh.links.deliver('edge-1', [bytes(1)], [target('ada', n)]),
    );
    expect(outcomes(await mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 999)]))).toEqual([NOBODY]);
    held.resolve();
    edge.hold = undefined;
    const answers = await Promise.all(waiting);
    expect(answers.flatMap(outcomes)).toEqual(Array(limits.linkPendingCount).fill(TargetOutcome.ALREADY));
  });

  it('answer for an edge that dies, and find it when it is back, at the same address or another', async () => {
    await using mesh = await overGrpc();
    const [edge] = mesh.edges;
    const held = Promise.withResolvers<void>();
    edge.hold = held.promise;
    const waiting = mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 1)]);
    await expect.poll(() => edge.got.length, { timeout: 5_000 }).toBe(1);
    held.resolve();
    edge.hold = new Promise<void>(() => {});
    const lost = mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 2)]);
    await waiting;
    const { port } = mesh.ports[0]!;
    await mesh.ports[0]!.close(0);
    expect(outcomes(await lost)).toEqual([NOBODY]);
    await expect.poll(() => mesh.links.linked(), { timeout: 5_000 }).toEqual(['edge-2']);

    edge.hold = undefined;
    mesh.ports.push(await serve(edge, port));
    await expect.poll(() => mesh.links.linked().length, { timeout: 15_000 }).toBe(2);
    expect(outcomes(await mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 3)]))).toEqual([
      TargetOutcome.ALREADY,
    ]);

    const moved = new FakeEdge('edge-1');
    mesh.ports.push(await serve(moved));
    mesh.membership.members = [memberOf(moved, mesh.ports.at(-1)!, '2')];
    await expect.poll(() => mesh.links.linked(), { timeout: 10_000 }).toEqual(['edge-1']);
    await expect
      .poll(async () => outcomes(await mesh.links.deliver('edge-1', [bytes(1)], [target('ada', 4)])), {
        timeout: 5_000,
      })
      .toEqual([TargetOutcome.ALREADY]);
    expect(moved.got.map(({ seq }) => seq)).toContain(4);
  });
});
