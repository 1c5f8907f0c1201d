// Requests that are messages and mean nothing good: who calls, from where, with which numbers and texts. One row each.
import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import { Code, createClient } from '@connectrpc/connect';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { formatCursor, parseCursor } from '../../edge/cursor.ts';
import { AdminService } from '../../gen/carillon/v1/admin_pb.ts';
import { EdgeService } from '../../gen/carillon/v1/edge_pb.ts';
import { RouterService } from '../../gen/carillon/v1/router_pb.ts';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { systemClock } from '../../runtime/clock.ts';
import { CarillonError, type ReasonName } from '../../runtime/errors.ts';
import { limits } from '../../runtime/limits.ts';
import { badTokens } from '../support/bad-tokens.ts';
import { userTransport } from '../support/transports.ts';
import { type AttackedMesh, attacker, startAttackedMesh } from './attacked-mesh.ts';
import { allWires, callOver, unaryWires } from './wires.ts';

const clientOf = (userId: string) =>
  createClient(EdgeService, userTransport(mesh.addresses.edge ?? '', userId));

let mesh: AttackedMesh;
/** What an empty inbox's cursor is made of. */
let epoch: string;
beforeAll(async () => {
  mesh = await startAttackedMesh();
  const { cursor } = await clientOf('eve').listInbox({});
  ({ epoch } = parseCursor(cursor));
});
afterAll(() => mesh[Symbol.asyncDispose]());
afterEach(() => mesh.unharmed());

const UUID = '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';
const E = EdgeService.method;
const A = AdminService.method;
const many = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item);
const long = 'x'.repeat(257);
const NUL = 'a\0b';

interface Row {
  name: string;
  port: string;
  method: DescMethod;
  message: () => Uint8Array;
  headers?: Record<string, string>;
  /** Over this one wire alone: an address that brings too many bad tokens is not listened to for a while. */
  over?: number;
  /** Absent: it is answered. */
  reason?: ReasonName;
}

/** `undefined` as the reason: it is answered. */
function row<D extends DescMessage>(
  method: DescMethod & { input: D },
  name: string,
  init: MessageInitShape<D> | (() => MessageInitShape<D>),
  reason?: ReasonName,
  headers?: Record<string, string>,
): Row {
  const port =
    { EdgeService: 'edge', AdminService: 'ingest', RouterService: 'router', Health: 'edge' }[
      method.parent.name
    ] ?? '';
  const made = () => (typeof init === 'function' ? init() : init) as MessageInitShape<D>;
  const message = () => toBinary(method.input, create(method.input, made()));
  return {
    name: `${method.name}: ${name}`,
    port,
    method,
    message,
    ...(headers && { headers }),
    ...(reason && { reason }),
  };
}

const cursor = (seq: number) => () => ({ cursor: formatCursor({ epoch, seq, timeMs: 1 }) });

const nobody = [
  ...(await badTokens(systemClock.now())).map(({ name, authorization, reason }) => ({
    name,
    headers: (authorization === undefined ? {} : { authorization }) as Record<string, string>,
    reason,
  })),
  {
    name: 'bytes that are not ASCII',
    headers: { authorization: 'Bearer Ren\u00e9' },
    reason: 'UNAUTHENTICATED' as const,
  },
];
const calls: [DescMethod & { input: DescMessage }, object][] = [
  [E.subscribe, {}],
  [E.ack, { after: 0, upto: 1 }],
  [E.listInbox, {}],
  [E.markInbox, { mark: 1, upto: 1 }],
  [E.registerDevice, { deviceId: 'd', platform: 3, token: 't' }],
];

const rows: Row[] = [
  ...calls.flatMap(([method, init]) =>
    nobody.map(({ name, headers, reason }, index) => ({
      ...row(method, name, init as never, reason, headers),
      over: index,
    })),
  ),
  row(E.subscribe, 'a cursor that is none', { cursor: 'nonsense' }, 'CURSOR_MALFORMED'),
  row(E.subscribe, 'a cursor of nothing', { cursor: '' }, 'CURSOR_MALFORMED'),
  row(
    E.subscribe,
    'a cursor past all positions',
    () => ({ cursor: `1${epoch}000000001zzzzzz` }),
    'CURSOR_MALFORMED',
  ),
  row(E.subscribe, 'a cursor from the future', cursor(1), 'CURSOR_AHEAD'),
  row(E.subscribe, 'a cursor from the far future', cursor(2_147_483_647), 'CURSOR_AHEAD'),
  row(E.subscribe, 'a long cursor', { cursor: long }, 'INVALID_REQUEST'),
  row(E.subscribe, 'a long device', { deviceId: long }, 'INVALID_REQUEST'),
  row(E.subscribe, 'an unheard-of activity', { activity: 99 as never }, 'INVALID_REQUEST'),
  row(E.ack, 'after past upto', { after: 2, upto: 1 }, 'INVALID_REQUEST'),
  row(E.ack, 'more than may be acknowledged at once', { upto: limits.ackSpanCount + 1 }, 'INVALID_REQUEST'),
  row(E.ack, 'past every position', { after: 4_294_967_294, upto: 4_294_967_295 }, 'INVALID_REQUEST'),
  row(E.ack, 'an extra past every position', { extra: [4_294_967_295] }, 'INVALID_REQUEST'),
  row(E.ack, '1,001 extras', { extra: many(1_001, 1) }, 'INVALID_REQUEST'),
  row(E.ack, 'a thousand extras that were never sent', { extra: many(1_000, 0).map((_, at) => 2 * at) }),
  row(E.ack, 'a span that was never sent', { upto: limits.ackSpanCount }),
  row(E.ack, 'traceparents that are none', { traceparents: ['', 'zz', 'x'.repeat(64), '\u{1f514}'] }),
  row(E.ack, '101 traceparents', { traceparents: many(101, '') }, 'INVALID_REQUEST'),
  row(E.ack, 'a long traceparent', { traceparents: ['x'.repeat(65)] }, 'INVALID_REQUEST'),
  row(E.ack, 'a long session', { sessionId: long }, 'INVALID_REQUEST'),
  row(E.ack, 'a session that is nowhere', { sessionId: NUL, upto: 1 }),
  row(E.listInbox, 'a page of 201', { pageSize: 201 }, 'INVALID_REQUEST'),
  ...['zz', '1', '1zzzzzz', '1-1', '1\0', '9aaaa'].map((pageToken) =>
    row(E.listInbox, `the page token ${JSON.stringify(pageToken)}`, { pageToken }, 'INVALID_REQUEST'),
  ),
  row(E.markInbox, 'nothing', { mark: 1 }, 'INVALID_REQUEST'),
  row(E.markInbox, 'both', { mark: 1, upto: 1, notificationIds: [UUID] }, 'INVALID_REQUEST'),
  row(E.markInbox, 'by no mark', { upto: 1 }, 'INVALID_REQUEST'),
  row(E.markInbox, 'by an unheard-of mark', { mark: 9 as never, upto: 1 }, 'INVALID_REQUEST'),
  row(E.markInbox, '201 items', { mark: 1, notificationIds: many(201, UUID) }, 'INVALID_REQUEST'),
  row(
    E.markInbox,
    'what is no id',
    { mark: 1, notificationIds: ["'; drop table inbox_items; --"] },
    'INVALID_REQUEST',
  ),
  row(E.markInbox, 'an item of nobody', { mark: 1, notificationIds: [UUID, UUID] }),
  row(E.markInbox, 'up to the end of time', { mark: 3, upto: 4_294_967_295 }),
  row(E.registerDevice, 'no device', { platform: 1, token: 't' }, 'INVALID_REQUEST'),
  row(E.registerDevice, 'no platform', { deviceId: 'd', token: 't' }, 'INVALID_REQUEST'),
  row(
    E.registerDevice,
    'an unheard-of platform',
    { deviceId: 'd', platform: 9 as never, token: 't' },
    'INVALID_REQUEST',
  ),
  row(
    E.registerDevice,
    'a long token',
    { deviceId: 'd', platform: 1, token: 'x'.repeat(4_097) },
    'INVALID_REQUEST',
  ),
  row(E.registerDevice, 'NUL in a device', { deviceId: NUL, platform: 1, token: 't' }, 'INVALID_REQUEST'),
  row(E.registerDevice, 'NUL in a token', { deviceId: 'd', platform: 1, token: NUL }, 'INVALID_REQUEST'),
  row(A.putUser, 'nobody', {}, 'INVALID_REQUEST'),
  row(A.putUser, 'NUL in an id', { user: { id: NUL } }, 'INVALID_REQUEST'),
  row(A.putUser, 'NUL in an address', { user: { id: 'a', email: `${NUL}@example.test` } }, 'INVALID_REQUEST'),
  row(A.putUser, 'a number that is none', { user: { id: 'a', phone: '911' } }, 'INVALID_REQUEST'),
  row(A.putUser, 'a zone that is none', { user: { id: 'a', timezone: 'Mars/Olympus' } }, 'INVALID_REQUEST'),
  row(A.getUser, 'nobody', {}, 'INVALID_REQUEST'),
  row(A.getUser, 'somebody unheard-of', { userId: '\u{1f514}' }, 'USER_NOT_FOUND'),
  row(A.getUser, 'NUL', { userId: NUL }, 'INVALID_REQUEST'),
  row(A.listDeadLetters, 'a page of 1,001', { pageSize: 1_001 }, 'INVALID_REQUEST'),
  row(A.listDeadLetters, 'a page token that is none', { pageToken: 'zz' }, 'INVALID_REQUEST'),
  row(A.listDeadLetters, 'a page token with NUL', { pageToken: NUL }, 'INVALID_REQUEST'),
  row(A.replayDeadLetters, 'what is no id', { ids: ['x'] }, 'INVALID_REQUEST'),
  row(A.replayDeadLetters, '1,001 ids', { ids: many(1_001, UUID) }, 'INVALID_REQUEST'),
  row(A.replayDeadLetters, 'ids of nothing', { ids: [UUID] }),
  row(A.listSandboxMessages, '1,001 messages', { limit: 1_001 }, 'INVALID_REQUEST'),
  row(A.listSandboxMessages, 'an unheard-of channel', { channel: 99 as never }, 'INVALID_REQUEST'),
  row(A.listSandboxMessages, 'NUL', { userId: NUL }, 'INVALID_REQUEST'),
  row(RouterService.method.getPresence, 'nobody', {}, 'INVALID_REQUEST'),
  row(RouterService.method.getPresence, 'a long user', { userId: long }, 'INVALID_REQUEST'),
  row(RouterService.method.getPresence, 'NUL', { userId: NUL }),
  row(Health.method.check, 'an unheard-of service', { service: 'nobody' }, 'SERVICE_UNKNOWN'),
];

test.each(rows)('$name', async ({ port, method, message, headers, reason, over }) => {
  const { authorization } = await attacker(port);
  const all = method === E.subscribe ? allWires : unaryWires;
  const wires = all.filter((_, index) => over === undefined || index === over % all.length);
  const wanted = reason ? new CarillonError(reason).code : 0;
  for (const wire of wires) {
    const answer = await callOver(wire, {
      address: mesh.addresses[port] ?? '',
      path: `/${method.parent.typeName}/${method.name}`,
      streaming: method.methodKind !== 'unary',
      message: message(),
      headers: { traceparent: `00-${'z'.repeat(200)}`, ...(headers ?? { authorization }) },
    });
    const { code, reason: said } = answer;
    expect([wire.name, code === undefined ? code : (Code[code] ?? 'OK'), said]).toEqual([
      wire.name,
      Code[wanted] ?? 'OK',
      reason,
    ]);
  }
});

describe('somebody else’s', () => {
  test('items are not marked, whoever names them', async () => {
    const victim = clientOf('victim');
    await mesh.send('victim');
    await expect.poll(() => victim.listInbox({})).toMatchObject({ unseen: 1 });
    const { items } = await victim.listInbox({});
    const ids = items.map(({ item }) => item?.notificationId ?? '');
    const marked = await clientOf('eve').markInbox({ mark: 3, notificationIds: ids });
    expect(marked.marked).toBe(0);
    expect(await victim.listInbox({})).toMatchObject({ unseen: 1, unread: 1 });
  });

  test.each(['\u{1f514}', 'a b/c?d#e%f&g,h;i', '\u202eevil', 'e\u0301 \u00e9', '\n\r\t', '-1', "'"])(
    'and the user %j is somebody of their own',
    async (userId) => {
      await mesh.send(userId, 'for one');
      const client = clientOf(userId);
      await expect.poll(async () => (await client.listInbox({})).unseen).toBe(1);
    },
  );
});
