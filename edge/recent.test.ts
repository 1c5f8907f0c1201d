// A storm of clients that come back to the edge they were at is greeted from memory; what the memory did not know the store still tells.
import { describe, expect, test } from 'vitest';
import { Resume } from '../gen/carillon/v1/edge_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import type { Database } from '../storage/database.ts';
import { seedInbox } from '../test/support/inbox-rows.ts';
import type { Frame } from './client-stream.fixture.ts';
import { helloed, send as sendTo, testMesh } from './edge.fixture.ts';
import { send, settled, testHub } from './hub.fixture.ts';
import { Recent } from './recent.ts';

const STORM = 1_000;
const delivered = (frame: Frame) => frame.case === 'deliver';

async function stormed() {
  const mesh = await testMesh();
  const asked: string[] = [];
  const db = (own: Database): Database => ({
    ...own,
    query: (query) => {
      asked.push(query.name ?? query.text);
      return own.query(query);
    },
    transaction: (work) => own.transaction(work),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  const edge = await mesh.edge('edge-1', { db });
  const users = Array.from({ length: STORM }, (_, at) => `u${at}`);
  const open = (cursors?: readonly string[]) =>
    users.map((userId, at) => edge.subscribe(cursors ? { cursor: cursors[at] } : {}, userId));
  const first = open();
  const cursors = (await Promise.all(first.map(helloed))).map(({ cursor }) => cursor);
  for (const stream of first) stream.close('lost');
  await settled();
  asked.length = 0;
  /** Queries for pages of inboxes since the storm. */
  const queries = () => asked.filter((name) => name === 'inbox-pages').length;
  return { ...mesh, ...edge, users, cursors, open, queries };
}

describe(`a storm of ${STORM} reconnects`, () => {
  test('is greeted without a query, and looked up afterwards in a few', async () => {
    const { open, cursors, queries, edge, clock, users, db } = await stormed();
    // While they were away these got something, of which this edge was not told.
    const missed = users.slice(-20);
    await seedInbox(db, { users: missed });
    const streams = open(cursors);
    const greeted = streams.filter(({ frames }) => frames[0]?.case === 'hello').length;
    const atOnce = queries();
    expect(greeted).toBe(STORM);
    expect(atOnce).toBe(0);
    expect(streams.map((stream) => stream.of('hello')[0]?.resume)).toEqual(Array(STORM).fill(Resume.RESUMED));
    for (let tick = 0; tick < 10; tick++) {
      clock.advance(limits.recentVerifyMs);
      await settled();
    }
    await Promise.all(streams.slice(-20).map((stream) => stream.until((frames) => frames.some(delivered))));
    // 256 to a query; what was found, and two turns of the heartbeat's wheel, are asked for besides.
    const most = Math.ceil(STORM / 256) + 4;
    expect(queries()).toBeLessThanOrEqual(most);
    expect(edge.streams).toBe(STORM);
    process.stdout.write(
      `${STORM} reconnects: ${atOnce} queries before all were greeted, ${queries()} after\n`,
    );
  });

  test('reads at once for those of whom it has heard something, and writes what follows on', async () => {
    const { open, cursors, queries, edge, users, db } = await stormed();
    const told = users[0]!;
    const live = users[1]!;
    expect((await sendTo(db, edge, 1, told)).outcome).toBe(4);
    const streams = open(cursors);
    await streams[0]!.until((frames) => frames.some(delivered));
    expect(queries()).toBeGreaterThan(0);
    expect((await sendTo(db, edge, 1, live)).outcome).toBe(1);
    // One that was lost before it: nothing is sent past the hole, which is read.
    await seedInbox(db, { users: [users[2]!] });
    expect((await sendTo(db, edge, 2, users[2])).outcome).toBe(3);
    await streams[2]!.until((frames) => frames.filter(delivered).length === 2);
    expect(streams[2]!.of('deliver').map(({ seq }) => seq)).toEqual([1, 2]);
  });
});

test('a client that has not got everything, or has none of it, is greeted by the store', async () => {
  const setting = testHub();
  const first = setting.open();
  await settled();
  const { cursor } = first.stream.of('hello')[0]!;
  await send(setting);
  first.stream.close('lost');
  await settled();
  setting.model.held = true;
  const behind = setting.open(cursor).stream;
  const without = setting.open().stream;
  const level = setting.open(first.stream.of('deliver')[0]!.cursor).stream;
  expect([behind, without, level].map(({ frames }) => frames.length)).toEqual([0, 0, 1]);
});

test('a cursor that was never verified is not remembered', async () => {
  const setting = testHub();
  setting.model.held = true;
  const ahead = setting.hub.frames.cursor(900, setting.clock.now());
  setting.open(ahead).stream.close('client');
  await settled();
  const again = setting.open(ahead).stream;
  expect(again.frames).toEqual([]);
  setting.model.held = false;
  while (setting.model.pending > 0) {
    setting.model.step();
    await settled();
  }
  expect(again.error?.reason).toBe('CURSOR_AHEAD');
});

test('a client that is greeted from memory is told the counts with what it got last', async () => {
  const setting = testHub();
  setting.model.add();
  const { stream } = setting.open();
  await settled();
  await send(setting);
  await send(setting);
  stream.close('lost');
  await settled();
  setting.model.held = true;
  const back = setting.open(stream.of('deliver').at(-1)!.cursor).stream;
  expect(back.of('hello')).toMatchObject([{ resume: Resume.RESUMED, unseen: 3, unread: 3 }]);
});

test('a client whose other stream here has got further is greeted by the store', async () => {
  const setting = testHub();
  const { stream } = setting.open();
  setting.open();
  await settled();
  stream.close('lost');
  await settled();
  await send(setting);
  setting.model.held = true;
  expect(setting.open(stream.of('hello')[0]!.cursor).stream.frames).toEqual([]);
});

describe('the memory', () => {
  const at = (seq: number) => ({ seq, timeMs: 0, unseen: 0, unread: 0 });
  const cursor = (seq: number) => ({ epoch: '', seq, timeMs: 0 });

  test('is bounded by users and by time', () => {
    const clock = new ManualClock();
    const recent = new Recent(clock);
    for (let user = 0; user < limits.recentUsersCount + 10; user++) recent.left('t', `u${user}`, at(1));
    expect(recent.size).toBe(limits.recentUsersCount);
    expect(recent.find('t', 'u9', cursor(1))).toBeUndefined();
    expect(recent.find('t', 'u10', cursor(1))).toMatchObject(at(1));
    clock.advance(limits.recentMs);
    expect(recent.find('t', 'u10', cursor(1))).toBeUndefined();
    recent.left('t', 'new', at(1));
    expect(recent.size).toBe(1);
  });

  test('keeps the furthest of several devices, and tenants apart', () => {
    const recent = new Recent(new ManualClock());
    recent.left('t', 'ada', at(7));
    recent.left('t', 'ada', at(5));
    expect([5, 7].map((seq) => recent.find('t', 'ada', cursor(seq))?.seq)).toEqual([undefined, 7]);
    expect(recent.find('other', 'ada', cursor(7))).toBeUndefined();
    recent.forget('t', 'ada');
    expect(recent.size).toBe(0);
  });
});
