// Links that leave the machine: encrypted, with a certificate from both ends where an authority is named, with a token where there is a secret.
import { expect, onTestFinished, test } from 'vitest';
import {
  edgeMember,
  FakeEdge,
  FakeMembership,
  FakeWhereabouts,
  target,
} from '../cluster/edge-link.fixture.ts';
import { grpcEdgeLinks } from '../cluster/edge-link.grpc.ts';
import type { LinkSecurity } from '../cluster/link-security.ts';
import { linkMount } from '../edge/link-server.ts';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { linkAuthenticator, signLinkToken } from '../runtime/link-token.ts';
import { createLog, silentLog } from '../runtime/log.ts';
import { openPort } from '../runtime/one-port.ts';
import { selfSigned } from './support/self-signed.ts';

const SOON = { timeout: 10_000 };
const SECRET = 'a secret that the processes of one mesh share';
const OURS = selfSigned();
const OTHERS = selfSigned();
const signedWith = (secret: string) => () => signLinkToken(secret, 'router-1', systemClock.now());

interface EdgeSide {
  secret?: string;
  tls?: { cert: string; key: string; ca?: string; requestCert?: boolean };
}

async function open({ secret, tls }: EdgeSide, security: LinkSecurity, host = '127.0.0.1') {
  const edge = new FakeEdge('edge-1');
  const authenticator = linkAuthenticator({ secret, nowMs: () => systemClock.now() });
  const port = await openPort({
    host: '127.0.0.1',
    port: 0,
    mounts: [linkMount({ edge, clock: systemClock, log: silentLog, authenticator })],
    maxMessageBytes: limits.linkMessageBytes,
    ...(tls && { tls }),
    log: silentLog,
  });
  const membership = new FakeMembership();
  membership.become(edgeMember(edge, `${host}:${port.port}`));
  const said: string[] = [];
  const links = grpcEdgeLinks({
    membership,
    presence: new FakeWhereabouts(),
    security,
    clock: systemClock,
    ids: systemIds,
    log: createLog({ level: 'warn', destination: { write: (line: string) => void said.push(line) } }),
  });
  onTestFinished(async () => {
    await links[Symbol.asyncDispose]();
    await port.close(0);
  });
  return { edge, links, said: () => said.join('') };
}

const mutual = { ...OURS, ca: OURS.cert, requestCert: true };
const token = signedWith(SECRET);

test.each<[string, EdgeSide, LinkSecurity, string]>([
  ['encrypted, by address', { tls: OURS }, { tls: OURS }, '127.0.0.1'],
  ['encrypted, by name', { tls: OURS }, { tls: OURS }, 'localhost'],
  ['encrypted, each with a certificate', { tls: mutual }, { tls: { ...OURS, ca: OURS.cert } }, '127.0.0.1'],
  ['signed', { secret: SECRET }, { token }, '127.0.0.1'],
  [
    'encrypted and signed',
    { secret: SECRET, tls: mutual },
    { tls: { ...OURS, ca: OURS.cert }, token },
    'localhost',
  ],
])('a link that is %s carries what it should', async (_name, edgeSide, security, host) => {
  const { edge, links, said } = await open(edgeSide, security, host);
  await expect.poll(() => [links.linked(), said()], SOON).toEqual([['edge-1'], '']);
  const [result] = await links.deliver('edge-1', [new Uint8Array(9)], [target('ada', 1)]);
  expect(result?.outcome).toBe(TargetOutcome.ALREADY);
  expect(edge.got).toHaveLength(1);
});

test.each<[string, EdgeSide, LinkSecurity, RegExp]>([
  ['has no token', { secret: SECRET }, {}, /UNAUTHENTICATED/],
  [
    'has a token of another mesh',
    { secret: SECRET },
    { token: signedWith('another secret altogether, of others') },
    /UNAUTHENTICATED/,
  ],
  ['speaks plainly to an edge that encrypts', { tls: OURS }, {}, /UNAVAILABLE/],
  ['trusts other authorities', { tls: OURS }, { tls: OTHERS }, /certificate/],
  ['has a certificate of others', { tls: mutual }, { tls: { ...OTHERS, ca: OURS.cert } }, /UNAVAILABLE/],
])('a router that %s gets no link, and the log says why', async (_name, edgeSide, security, why) => {
  const { edge, links, said } = await open(edgeSide, security);
  await expect.poll(said, SOON).toMatch(why);
  expect(links.linked()).toEqual([]);
  expect(edge.peers.size).toBe(0);
  const [result] = await links.deliver('edge-1', [new Uint8Array(9)], [target('ada', 1)]);
  expect(result?.outcome).toBe(TargetOutcome.NO_SESSION);
});
