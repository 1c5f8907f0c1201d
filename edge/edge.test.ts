// An edge over a real database: what its clients call, what its streams get, and what a router hears through a link.
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import type { Changed } from '../cluster/edge-link.ts';
import { ChangedSchema, TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { Mark, Platform, Resume } from '../gen/carillon/v1/edge_pb.ts';
import { DeliveryState } from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError, type ReasonName } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { deliveriesOf, seedInbox } from '../test/support/inbox-rows.ts';
import { defaultAdmission } from './admission.ts';
import { parseCursor } from './cursor.ts';
import { helloed, send as sendTo, type TestEdgeOptions, testMesh } from './edge.fixture.ts';

async function setUp(options: TestEdgeOptions = {}) {
  const mesh = await testMesh();
  return { ...mesh, ...(await mesh.edge('edge-1', options)) };
}

type Setting = Awaited<ReturnType<typeof setUp>>;

const send = ({ db, edge }: Setting, seq: number, userId?: string) => sendTo(db, edge, seq, userId);

const refused = (reason: ReasonName) => expect.objectContaining({ reason });

describe('a stream', () => {
  test('resumes over a thousand items with live ones in between, each once and in order', async () => {
    const setting = await setUp();
    const first = setting.subscribe();
    const { cursor } = await helloed(first);
    first.close('lost');
    await seedInbox(setting.db, { users: ['ada'], count: 1_000 });
    const stream = setting.subscribe(cursor);
    await send(setting, 1_001);
    await stream.until((frames) => frames.filter((frame) => frame.case === 'deliver').length >= 1_001);
    expect(stream.of('hello')[0]!.resume).toBe(Resume.RESUMED);
    expect(stream.of('deliver').map(({ seq }) => seq)).toEqual(
      Array.from({ length: 1_001 }, (_, index) => index + 1),
    );
  });

  test('is refused before anything is read: no user, a bad cursor, too many', async () => {
    const setting = await setUp({
      admission: {
        ...defaultAdmission,
        streamsCount: 3,
        perUserCount: 2,
        beginsPerSecond: 1,
        beginsBurstCount: 4,
      },
    });
    expect(setting.subscribe({}, new Headers()).error?.reason).toBe('UNAUTHENTICATED');
    expect(setting.subscribe('nonsense').error?.reason).toBe('CURSOR_MALFORMED');
    expect(setting.subscribe('x'.repeat(300)).error?.reason).toBe('INVALID_REQUEST');
    const good = [setting.subscribe(), setting.subscribe(), setting.subscribe({}, 'bob')];
    expect(good.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
    expect(setting.subscribe().error).toMatchObject({
      reason: 'TOO_MANY_STREAMS',
      retryAfterMs: expect.any(Number),
    });
    expect(setting.subscribe({}, 'cleo').error?.reason).toBe('TOO_MANY_STREAMS');
    expect(setting.edge.streams).toBe(3);
    good[0]!.close('client');
    await Promise.resolve();
    expect(setting.subscribe({}, 'cleo').error).toBeUndefined();
    good[1]!.close('client');
    await Promise.resolve();
    // The bucket is empty until time passes.
    expect(setting.subscribe({}, 'dora').error?.reason).toBe('TOO_MANY_STREAMS');
    setting.clock.advance(1_000);
    expect(setting.subscribe({}, 'dora').error).toBeUndefined();
  });

  test('from the future is refused with its reason', async () => {
    const setting = await setUp();
    const { cursor } = await helloed(setting.subscribe());
    const { epoch, timeMs } = parseCursor(cursor);
    const stream = setting.subscribe(`1${epoch}${timeMs.toString(36).padStart(9, '0')}00000a`);
    await expect(stream.until(() => false)).rejects.toThrow();
    expect(stream.error?.reason).toBe('CURSOR_AHEAD');
  });
});

describe('an ack', () => {
  test('delivers what the stream was sent, and is counted', async () => {
    const setting = await setUp();
    const stream = setting.subscribe();
    const { sessionId } = await helloed(stream);
    const { id, outcome } = await send(setting, 1);
    expect(outcome).toBe(TargetOutcome.WRITTEN);
    expect(await setting.ack({ sessionId, after: 0, upto: 1 })).toMatchObject({ acknowledged: 1 });
    expect(await setting.ack({ sessionId, after: 0, upto: 1, extra: [1] })).toMatchObject({
      acknowledged: 0,
    });
    expect(await deliveriesOf(setting.db, id)).toMatchObject([{ state: DeliveryState.DELIVERED }]);
    expect(await setting.metrics.expose()).toMatch(
      /carillon_deliveries_total\{channel="in_app",lane="normal",state="DELIVERED"\} 1/,
    );
  });

  test('may land here for a stream of another edge, with ranges and extras', async () => {
    const setting = await setUp();
    await seedInbox(setting.db, { users: ['ada', 'bob'], count: 9 });
    const answer = await setting.ack({
      sessionId: 'edge-2.x.1',
      after: 2,
      upto: 4,
      extra: [4, 9, 7, 8, 1, 7, 0],
    });
    expect(answer.acknowledged).toBe(6);
    const { rows } = await setting.db.query<{ user_id: string; seq: number }>({
      text: `select user_id, seq from deliveries where state = ${DeliveryState.DELIVERED} order by seq`,
    });
    expect(rows).toEqual([1, 3, 4, 7, 8, 9].map((seq) => ({ user_id: 'ada', seq })));
  });

  test('reaches nobody else, and not what was never sent', async () => {
    const setting = await setUp();
    const { sessionId } = await helloed(setting.subscribe());
    await expect(setting.ack({ sessionId, after: 0, upto: 0 }, 'eve')).rejects.toEqual(
      refused('SESSION_UNKNOWN'),
    );
    await expect(setting.ack({ sessionId, after: 0, upto: 1 })).rejects.toEqual(refused('INVALID_REQUEST'));
    await expect(setting.ack({ after: 3, upto: 2 })).rejects.toEqual(refused('INVALID_REQUEST'));
    await expect(setting.ack({ after: 0, upto: 4_000_000_000 })).rejects.toEqual(refused('INVALID_REQUEST'));
    await expect(setting.ack({ after: 0, upto: limits.ackSpanCount + 1 })).rejects.toEqual(
      refused('INVALID_REQUEST'),
    );
    await expect(setting.ack({ after: 0, upto: 1 }, '')).rejects.toEqual(refused('UNAUTHENTICATED'));
  });

  test('of thousands at once is answered for each', async () => {
    const setting = await setUp();
    const users = Array.from({ length: 1_200 }, (_, index) => `u${index}`);
    await seedInbox(setting.db, { users, count: 2 });
    const answers = await Promise.all(users.map((user) => setting.ack({ after: 0, upto: 2 }, user)));
    expect(answers.every(({ acknowledged }) => acknowledged === 2)).toBe(true);
  });
});

describe('the inbox', () => {
  test('is listed page by page, while it changes, and subscribed from there', async () => {
    const setting = await setUp();
    const ids = await seedInbox(setting.db, {
      users: ['ada'],
      count: 5,
      notification: { content: { title: 'Hi' } },
    });
    await seedInbox(setting.db, { users: ['bob'] });
    const first = await setting.list({ pageSize: 2 });
    expect(first).toMatchObject({ unseen: 5, unread: 5 });
    expect(first.items.map(({ item }) => [item!.notificationId, item!.content!.title])).toEqual([
      [ids[4], 'Hi'],
      [ids[3], 'Hi'],
    ]);
    await setting.mark({ mark: Mark.READ, notificationIds: [ids[2]!] });
    const second = await setting.list({ pageSize: 2, pageToken: first.nextPageToken });
    expect(second.items.map(({ seq, firstSeq, item }) => [seq, firstSeq, item!.read])).toEqual([
      [6, 3, true],
      [2, 2, false],
    ]);
    const third = await setting.list({ pageSize: 2, pageToken: second.nextPageToken });
    expect([third.items.length, third.nextPageToken]).toEqual([1, '']);
    const stream = setting.subscribe(first.cursor);
    await stream.until((frames) => frames.length === 2);
    expect(stream.of('update')).toMatchObject([{ seq: 6, firstSeq: 3, read: true, unseen: 4, unread: 4 }]);
    await expect(setting.list({ pageToken: 'zz' })).rejects.toEqual(refused('INVALID_REQUEST'));
    expect((await setting.list({}, 'eve')).items).toEqual([]);
  });

  test('answers fewer items when they are large', async () => {
    const setting = await setUp();
    const data = Object.fromEntries(
      Array.from({ length: 60 }, (_, index) => [`k${index}`, 'x'.repeat(4_000)]),
    );
    await seedInbox(setting.db, {
      users: ['ada'],
      count: 7,
      notification: { content: { title: 'big', data } },
    });
    const first = await setting.list();
    expect(first.items).toHaveLength(5);
    const rest = await setting.list({ pageToken: first.nextPageToken });
    expect([rest.items.length, rest.nextPageToken]).toEqual([2, '']);
  });

  test('marked on one device is updated on the others, here and through links', async () => {
    const setting = await setUp();
    const streams = [setting.subscribe(), setting.subscribe()];
    await Promise.all(streams.map(helloed));
    const { id } = await send(setting, 1);
    const told: Changed[] = [];
    setting.edge.port.attach({ ...setting.router, changed: (users) => told.push(...users) });
    expect(await setting.mark({ mark: Mark.READ, upto: 1 })).toMatchObject({
      marked: 1,
      unseen: 0,
      unread: 0,
    });
    for (const stream of streams) await stream.until((frames) => frames.at(-1)?.case === 'update');
    expect(streams[1]!.of('update')).toMatchObject([
      { notificationId: id, seq: 2, firstSeq: 1, read: true, unread: 0 },
    ]);
    expect(told).toMatchObject([{ tenant: 'default', userId: 'ada', head: 2 }]);
    expect(await deliveriesOf(setting.db, id)).toMatchObject([{ state: DeliveryState.OPENED }]);
    expect(await setting.mark({ mark: Mark.READ, notificationIds: [id] }, 'eve')).toMatchObject({
      marked: 0,
    });
  });

  test('changed on another edge is read here', async () => {
    const setting = await setUp();
    const stream = setting.subscribe();
    await helloed(stream);
    await seedInbox(setting.db, { users: ['ada'] });
    setting.edge.port.changed([create(ChangedSchema, { tenant: 'default', userId: 'ada', head: 1 })]);
    await stream.until((frames) => frames.at(-1)?.case === 'deliver');
  });
});

test('a device is registered for its own user', async () => {
  const setting = await setUp();
  await setting.register({ deviceId: 'phone', platform: Platform.SANDBOX, token: 'tok' });
  const { rows } = await setting.db.query({
    text: 'select tenant, user_id, device_id, platform, token from devices',
  });
  expect(rows).toEqual([
    { tenant: 'default', user_id: 'ada', device_id: 'phone', platform: 4, token: 'tok' },
  ]);
  await expect(setting.register({ deviceId: '', platform: Platform.IOS, token: 't' })).rejects.toBeInstanceOf(
    CarillonError,
  );
});
