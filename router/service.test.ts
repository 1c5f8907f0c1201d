// Where users are, and which edges there are, as an operator asks it over the wire.
import { expect, it } from 'vitest';
import { RouterService } from '../gen/carillon/v1/router_pb.ts';
import { grpcClient } from '../runtime/grpc-service.ts';
import { silentLog } from '../runtime/log.ts';
import { openPort } from '../runtime/one-port.ts';
import { FakeLinks, FakePresence } from './router.fixture.ts';
import { routerMount } from './service.ts';

it('answers who holds a user and which edges there are', async () => {
  const presence = new FakePresence();
  presence.enter({ tenant: 'default', userId: 'ada' }, 'edge-1');
  const links = new FakeLinks();
  links.linked = () => ['edge-1'];
  const members = ['edge-1', 'edge-2'].map((node) => ({
    node,
    incarnation: 'x',
    linkAddress: '127.0.0.1:1',
  }));
  const membership = {
    announce: () => Promise.reject(new Error('not here')),
    edges: () => Promise.resolve(members),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  await using port = await openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [routerMount({ presence, membership, links })],
    maxMessageBytes: 65_536,
    log: silentLog,
  });
  using client = grpcClient(RouterService, `127.0.0.1:${port.port}`);
  expect((await client.getPresence({ userId: 'ada' })).edges).toEqual(['edge-1']);
  expect((await client.getPresence({ userId: 'bob' })).edges).toEqual([]);
  expect((await client.listEdges({})).edges).toMatchObject([
    { node: 'edge-1', linked: true, linkAddress: '127.0.0.1:1' },
    { node: 'edge-2', linked: false },
  ]);
});
