// What a user's streams get of live items, and what the links are told about it.
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { TargetOutcome, TargetSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { Resume } from '../gen/carillon/v1/edge_pb.ts';
import { limits } from '../runtime/limits.ts';
import { deliverTail } from '../storage/inbox-item.ts';
import { formatCursor } from './cursor.ts';
import { EPOCH, offer, send, settled, testHub } from './hub.fixture.ts';

const T = TargetOutcome;

const cursorAt = (seq: number, timeMs = 1_800_000_000_000, epoch = EPOCH) =>
  formatCursor({ epoch, seq, timeMs });

describe('a stream begins with Hello', () => {
  test('at the head when the client has no cursor', async () => {
    const setting = testHub();
    setting.model.add();
    const { stream, session } = setting.open();
    await settled();
    expect(stream.of('hello')).toMatchObject([
      {
        sessionId: session.id,
        resume: Resume.RESET,
        resumeReason: 'NO_CURSOR',
        unseen: 1,
        unread: 1,
        cursor: cursorAt(1),
      },
    ]);
    expect(stream.frames).toHaveLength(1);
    expect(session.id).toMatch(/^edge-1\.i1\./);
  });

  test('after the cursor, and what was missed follows', async () => {
    const setting = testHub();
    for (let count = 0; count < 8; count++) setting.model.add();
    const { stream } = setting.open(cursorAt(3));
    await settled();
    expect(stream.of('hello')).toMatchObject([
      { resume: Resume.RESUMED, resumeReason: '', cursor: cursorAt(3) },
    ]);
    expect(stream.of('deliver').map(({ seq }) => seq)).toEqual([4, 5, 6, 7, 8]);
  });

  test('at the head when the cursor is of another store', async () => {
    const setting = testHub();
    setting.model.add();
    const { stream } = setting.open(cursorAt(900, 0, 'ffffffff'));
    await settled();
    expect(stream.of('hello')).toMatchObject([
      { resume: Resume.RESET, resumeReason: 'OTHER_EPOCH', cursor: cursorAt(1) },
    ]);
  });

  test('as PARTIAL when retention may have taken some of what was missed', async () => {
    const setting = testHub({ keptSinceMs: 5_000 });
    for (let count = 0; count < 2; count++) setting.model.add();
    const old = setting.open(cursorAt(1, 4_999)).stream;
    const idle = setting.open(cursorAt(2, 4_999)).stream;
    await settled();
    expect(old.of('hello')).toMatchObject([{ resume: Resume.PARTIAL, resumeReason: 'RETENTION' }]);
    expect(old.of('deliver').map(({ seq }) => seq)).toEqual([2]);
    expect(idle.of('hello')).toMatchObject([{ resume: Resume.RESUMED }]);
  });

  test('and gets soon what was stored before routers knew of it', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    setting.model.add();
    setting.clock.advance(limits.recentVerifyMs);
    setting.clock.advance(limits.recentVerifyMs);
    await settled();
    expect(stream.of('deliver').map(({ seq }) => seq)).toEqual([1]);
  });

  test('but not with a cursor from the future', async () => {
    const setting = testHub();
    const { stream } = setting.open(cursorAt(1));
    await settled();
    expect(stream.error?.reason).toBe('CURSOR_AHEAD');
    expect(stream.frames).toEqual([]);
    expect(setting.hub.streams).toBe(0);
  });

  test('or not at all while the store does not answer', async () => {
    const setting = testHub();
    setting.model.away = true;
    const { stream } = setting.open();
    await settled();
    expect(stream.error?.reason).toBe('STORE_UNAVAILABLE');
  });
});

describe('a live item', () => {
  test('is written when it is the next one', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    expect((await send(setting)).outcome).toBe(T.WRITTEN);
    expect(stream.of('deliver')).toMatchObject([
      { seq: 1, cursor: cursorAt(1), item: { notificationId: 'n1', content: { title: 'n1' } } },
    ]);
  });

  test('goes to every stream of the user, and to nobody else', async () => {
    const setting = testHub();
    const [phone, laptop, other] = [setting.open(), setting.open(), setting.open(undefined, 'bob')];
    await settled();
    await send(setting);
    expect([phone, laptop, other].map(({ stream }) => stream.of('deliver').length)).toEqual([1, 1, 0]);
    expect(phone.stream.lastTail).toBe(laptop.stream.lastTail);
  });

  test('finds nobody where no stream is', async () => {
    const setting = testHub();
    expect((await send(setting)).outcome).toBe(T.NO_SESSION);
  });

  test('that came before is not written twice, and says how long ago it was', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    await send(setting);
    setting.clock.advance(12_000);
    expect(await offer(setting, 1)).toMatchObject({ outcome: T.ALREADY, agoMs: 12_000 });
    expect(stream.of('deliver')).toHaveLength(1);
  });

  test('that a client without a cursor never got is not called written', async () => {
    const setting = testHub();
    setting.model.add();
    setting.open();
    await settled();
    expect((await offer(setting, 1)).outcome).toBe(T.NO_SESSION);
  });

  test('that the client had on an earlier stream is', async () => {
    const setting = testHub();
    setting.model.add();
    setting.open(cursorAt(1));
    await settled();
    expect((await offer(setting, 1)).outcome).toBe(T.ALREADY);
  });

  test('after a lost one makes the stream catch up from the store', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    setting.model.add();
    expect((await send(setting)).outcome).toBe(T.CATCHING_UP);
    await settled();
    expect(stream.of('deliver').map(({ seq }) => seq)).toEqual([1, 2]);
  });

  test('before Hello is left to the replay', async () => {
    const setting = testHub();
    setting.model.held = true;
    const { stream } = setting.open(cursorAt(0));
    await settled();
    setting.model.step();
    await settled();
    expect((await send(setting)).outcome).toBe(T.CATCHING_UP);
    setting.model.held = false;
    while (setting.model.pending > 0) {
      setting.model.step();
      await settled();
    }
    expect(stream.frames.map(({ case: kind }) => kind)).toEqual(['hello', 'deliver']);
  });

  test('that is stored while a page is being read comes without waiting for a heartbeat', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    setting.model.add();
    setting.model.held = true;
    expect((await offer(setting, 2)).outcome).toBe(T.CATCHING_UP);
    await settled();
    setting.model.step();
    await settled();
    // The snapshot is taken; these two are not in it.
    setting.model.add();
    await send(setting);
    setting.model.held = false;
    while (setting.model.pending > 0) {
      setting.model.step();
      await settled();
    }
    expect(stream.of('deliver').map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });
});

describe('a client that does not read', () => {
  test('is left alone until it has taken what waits, then catches up at once', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    stream.fill();
    const before = stream.frames.length;
    for (let count = 0; count < 10; count++) expect((await send(setting)).outcome).toBe(T.CATCHING_UP);
    setting.clock.advance(limits.heartbeatMs);
    await settled();
    expect(stream.frames.length).toBe(before);
    stream.drain();
    await settled();
    expect(stream.of('deliver').map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("does not keep the user's other stream from being written", async () => {
    const setting = testHub();
    const [phone, laptop] = [setting.open(), setting.open()];
    await settled();
    phone.stream.fill();
    expect((await send(setting)).outcome).toBe(T.WRITTEN);
    expect(laptop.stream.of('deliver')).toHaveLength(1);
  });
});

describe('marks', () => {
  test('made elsewhere come as Update, with the counts', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    await send(setting);
    setting.model.markRead(setting.model.items[0]!);
    setting.changed(setting.model.head);
    await settled();
    expect(stream.of('update')).toMatchObject([
      {
        seq: 2,
        firstSeq: 1,
        notificationId: 'n1',
        seen: true,
        read: true,
        unseen: 0,
        unread: 0,
        cursor: cursorAt(2),
      },
    ]);
  });

  test('on an item that the client has not got come with the item, and not a second time', async () => {
    const setting = testHub();
    setting.model.pageRows = 10;
    const item = setting.model.add();
    setting.model.add();
    setting.model.markRead(item);
    const { stream } = setting.open(cursorAt(0));
    await settled();
    expect(stream.of('deliver')).toMatchObject([
      { seq: 1, item: { read: true } },
      { seq: 2, item: { read: false } },
    ]);
    expect(stream.of('update')).toEqual([]);
    setting.clock.advance(limits.heartbeatMs);
    await settled();
    expect(stream.of('watermark')).toMatchObject([{ sentThrough: 3, unseen: 1, unread: 1 }]);
  });
});

describe('heartbeats', () => {
  test('come at least once per period, with a fresh cursor', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    for (let beat = 1; beat <= 3; beat++) {
      setting.clock.advance(limits.heartbeatMs);
      await settled();
      expect(stream.of('watermark')).toHaveLength(beat);
    }
    expect(stream.of('watermark').at(-1)!.cursor > stream.of('hello')[0]!.cursor).toBe(true);
  });

  test('heal what a link lost', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    setting.model.add();
    setting.clock.advance(limits.heartbeatMs);
    await settled();
    expect(stream.of('deliver').map(({ seq }) => seq)).toEqual([1]);
  });

  test('go on while the store is away, and what was missed comes once it is back', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    setting.model.away = true;
    setting.clock.advance(limits.heartbeatMs);
    await settled();
    expect(stream.of('watermark')).toHaveLength(1);
    setting.model.add();
    setting.model.away = false;
    setting.clock.advance(limits.replayRetryMs);
    await settled();
    expect(stream.of('deliver')).toHaveLength(1);
  });

  test('do not wait for a store that hangs', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    setting.model.held = true;
    setting.clock.advance(limits.heartbeatMs + limits.heartbeatMs / limits.heartbeatSlotsCount);
    await settled();
    expect(stream.of('watermark')).toHaveLength(1);
  });

  test('ask an old stream to come back, then end it', async () => {
    const setting = testHub();
    const { stream } = setting.open();
    await settled();
    setting.clock.advance(limits.streamAgeMs / 2 + limits.heartbeatMs);
    await settled();
    expect(stream.of('goAway')).toMatchObject([{ reason: 'AGE' }]);
    setting.clock.advance(limits.heartbeatMs);
    await settled();
    expect([stream.over, setting.hub.streams]).toEqual([true, 0]);
    expect(setting.presence).toEqual(['enter ada', 'leave ada']);
  });
});

test('presence follows the first and the last stream of a user, and says whether the user closed it', async () => {
  const setting = testHub();
  const [phone, laptop] = [setting.open(), setting.open()];
  await settled();
  phone.stream.close('lost');
  await settled();
  expect(setting.presence).toEqual(['enter ada']);
  laptop.stream.close('client');
  await settled();
  expect(setting.presence).toEqual(['enter ada', 'leave ada closed']);
  expect((await send(setting)).outcome).toBe(T.NO_SESSION);
});

test('thousands of targets of one batch are answered in their order', async () => {
  const setting = testHub();
  const users = Array.from({ length: 1_500 }, (_, index) => `user-${index}`);
  for (const [index, user] of users.entries()) if (index % 2 === 0) setting.open(undefined, user);
  await settled();
  const targets = users.map((userId) => create(TargetSchema, { tenant: 'default', userId, seq: 1, item: 0 }));
  const results = await setting.hub.deliver([deliverTail(setting.model.encoded('n1'))], targets);
  expect(results.map(({ outcome }) => outcome)).toEqual(
    users.map((_, index) => (index % 2 === 0 ? T.WRITTEN : T.NO_SESSION)),
  );
});
