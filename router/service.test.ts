// Where users belong and are, and which edges there are, as a user or an operator asks it over the wire.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FakeWhereabouts } from '../cluster/edge-link.fixture.ts';
import { MemoryMembership } from '../cluster/membership.memory.ts';
import type { Member } from '../cluster/membership.ts';
import { Ownership } from '../cluster/ownership.ts';
import type { UserKey } from '../cluster/presence.ts';
import { HeldPresenceSchema, type HeldStreamSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { RouterService } from '../gen/carillon/v1/router_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { grpcClient } from '../runtime/grpc-service.ts';
import { silentLog } from '../runtime/log.ts';
import { openPort } from '../runtime/one-port.ts';
import { testTokens } from '../test/support/tokens.ts';
import { routerMount } from './service.ts';

const member = (role: Member['role'], node: string, more: Partial<Member> = {}): Member => ({
  role,
  node,
  incarnation: '0001',
  address: `${node}:7201`,
  url: '',
  weight: 1,
  zone: '',
  ...more,
});

type Streams = Record<string, MessageInitShape<typeof HeldStreamSchema>[] | undefined>;

async function open() {
  const clock = new ManualClock();
  const membership = new MemoryMembership();
  await membership.announce(
    member('edge', 'edge-1', { url: 'https://e1.example', zone: 'north', weight: 2 }),
  );
  await membership.announce(member('edge', 'edge-2'));
  await membership.announce(member('router', 'router-1', { address: 'router-1:7300', zone: 'north' }));
  const presence = Object.assign(new FakeWhereabouts(), {
    leaseAgesMs: (edges: readonly string[]) => Promise.resolve(edges.map((edge) => edge.length * 100)),
  });
  /** By edge and user; an edge that is not here does not answer. */
  const held: Record<string, Streams> = { 'edge-1': {}, 'edge-2': {} };
  const links = {
    linked: () => Object.keys(held),
    viewOf: (edge: string) => (edge === 'edge-1' ? 'seen' : undefined),
    held: (edge: string, users: readonly UserKey[]) =>
      Promise.resolve(
        held[edge] &&
          users.map(({ userId }) => create(HeldPresenceSchema, { streams: held[edge]?.[userId] ?? [] })),
      ),
  };
  const ownership = new Ownership({ membership, clock });
  const tokens = await testTokens();
  const { authenticator } = tokens;
  const port = await openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [routerMount({ presence, ownership, links, authenticator })],
    maxMessageBytes: 65_536,
    log: silentLog,
  });
  const client = grpcClient(RouterService, `127.0.0.1:${port.port}`);
  onTestFinished(async () => {
    client[Symbol.dispose]();
    await port.close(0);
  });
  const backend = { headers: tokens.backendHeaders() };
  return { presence, held, ownership, tokens, client, backend };
}

describe('Locate', () => {
  test('tells a user, and whoever may ask for others, the edge that the ring gives them', async () => {
    const { client, ownership, tokens, backend } = await open();
    for (const userId of ['ada', 'bob', 'cem', 'dora', 'eve', 'finn']) {
      const owner = ownership.owner({ tenant: 'default', userId });
      const own = await client.locate({}, { headers: await tokens.headers(userId) });
      expect(own).toMatchObject({ node: owner?.node, url: owner?.url });
      expect(own.view?.hash).toBe(ownership.view.hash);
      expect(await client.locate({ userId }, backend)).toEqual(own);
    }
    await expect(client.locate({}, backend)).rejects.toMatchObject({ code: 3 });
    const ada = { headers: await tokens.headers('ada') };
    await expect(client.locate({ userId: 'bob' }, ada)).rejects.toMatchObject({ code: 7 });
  });

  test('asks the ring of the tenant of the caller', async () => {
    const { client, ownership, tokens } = await open();
    const nodes = new Set<string>();
    for (let n = 0; n < 20; n++) {
      const tenant = `tenant-${n}`;
      const headers = tokens.backendHeaders({ tenant });
      const { node } = await client.locate({ userId: 'ada' }, { headers });
      expect(node).toBe(ownership.owner({ tenant, userId: 'ada' })?.node);
      nodes.add(node);
    }
    expect(nodes).toEqual(new Set(['edge-1', 'edge-2']));
  });
});

describe('GetPresence', () => {
  const stream = (deviceId: string, activity: Activity) => ({
    sessionId: `session of ${deviceId}`,
    deviceId,
    activity,
    openFor: durationFromMs(5_000),
  });

  test('gives each device with what the edge that holds it knows, and the best of their activities', async () => {
    const { client, presence, held, backend } = await open();
    presence.set('ada', ['edge-1', 'edge-2']);
    held['edge-1'] = { ada: [{ ...stream('phone', Activity.BACKGROUND), lastAckAge: durationFromMs(70) }] };
    held['edge-2'] = { ada: [stream('desk', Activity.FOREGROUND)] };
    const answer = await client.getPresence({ userId: 'ada' }, backend);
    expect(answer).toMatchObject({
      edges: ['edge-1', 'edge-2'],
      activity: Activity.FOREGROUND,
      known: true,
    });
    expect(answer.vanishedAt).toBeUndefined();
    expect(answer.devices).toMatchObject([
      {
        deviceId: 'phone',
        edge: 'edge-1',
        leaseAge: { nanos: 600_000_000 },
        lastAckAge: { nanos: 70_000_000 },
      },
      { deviceId: 'desk', edge: 'edge-2', openFor: { seconds: 5n } },
    ]);
    held['edge-2'] = {};
    const left = await client.getPresence({ userId: 'ada' }, backend);
    expect(left).toMatchObject({ edges: ['edge-1'], activity: Activity.BACKGROUND });
  });

  test('of somebody who is away says since when; of a stranger, nothing', async () => {
    const { client, presence, backend } = await open();
    presence.where.set('ada', { edges: [], known: true, foreground: false, vanishedAtMs: 1_800_000_000_000 });
    expect(await client.getPresence({ userId: 'ada' }, backend)).toMatchObject({
      edges: [],
      activity: Activity.UNSPECIFIED,
      known: true,
      vanishedAt: { seconds: 1_800_000_000n },
    });
    expect((await client.getPresence({ userId: 'bob' }, backend)).vanishedAt).toBeUndefined();
  });

  test('asks all linked edges when the hints are lost, and says so', async () => {
    const { client, presence, held, backend } = await open();
    presence.set('ada', [], false);
    held['edge-2'] = { ada: [stream('desk', Activity.FOREGROUND)] };
    expect(await client.getPresence({ userId: 'ada' }, backend)).toMatchObject({
      edges: ['edge-2'],
      devices: [{ deviceId: 'desk' }],
      known: false,
    });
  });

  test('of an edge that does not answer says what presence says, and that this is not known', async () => {
    const { client, presence, held, backend } = await open();
    presence.set('ada', ['edge-2']);
    delete held['edge-2'];
    const answer = await client.getPresence({ userId: 'ada' }, backend);
    expect(answer).toMatchObject({ edges: ['edge-2'], devices: [], known: false });
  });

  test('is for the user and for backends that may read presence', async () => {
    const { client, tokens } = await open();
    const ask = (headers: { authorization: string }) => client.getPresence({ userId: 'ada' }, { headers });
    await expect(ask(await tokens.headers('ada'))).resolves.toMatchObject({ edges: [] });
    await expect(ask(tokens.backendHeaders({ scopes: ['presence:read'] }))).resolves.toBeDefined();
    await expect(ask(await tokens.headers('bob'))).rejects.toMatchObject({ code: 7 });
    await expect(ask(tokens.backendHeaders({ scopes: ['notifications:send'] }))).rejects.toMatchObject({
      code: 7,
    });
  });
});

test('ListEdges gives the view, each edge with its share and what it has said, and the routers', async () => {
  const { client, ownership, backend } = await open();
  const { view, edges, routers } = await client.listEdges({}, backend);
  expect(view).toMatchObject({ number: ownership.view.number, hash: ownership.view.hash });
  expect(edges).toMatchObject([
    {
      node: 'edge-1',
      linkAddress: 'edge-1:7201',
      linked: true,
      url: 'https://e1.example',
      weight: 2,
      zone: 'north',
      viewHash: 'seen',
    },
    { node: 'edge-2', url: '', weight: 1, viewHash: '' },
  ]);
  expect(edges[0]?.share).toBeCloseTo(2 / 3, 1);
  expect(edges.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 10);
  expect(routers).toMatchObject([{ node: 'router-1', address: 'router-1:7300', zone: 'north' }]);
});
