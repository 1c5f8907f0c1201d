// What a stored chunk promises: all or nothing, once, gapless seqs per user, whatever else goes on at the same time.
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Channel, DeliveryState, Lane, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { cancelNotification } from './cancel.ts';
import type { Database } from './database.ts';
import type { PlannedRow } from './delivery-row.ts';
import { redrive, storeChunk } from './store-deliveries.ts';

const S = DeliveryState;
const N = NotificationState;
const options = { nowMs: 0, reconcileMs: 45_000, traceparents: new Map<string, string>() };

const inApp = (notificationId: string, userId: string): PlannedRow => ({
  notificationId,
  userId,
  channel: Channel.IN_APP,
  tenant: 'default',
  lane: Lane.NORMAL,
  state: S.WAITING,
  reason: 'ONLINE',
  steps: [
    { channel: Channel.IN_APP, afterMs: 10_000, until: 'ack' },
    { channel: Channel.EMAIL, afterMs: 0, until: 'ack' },
  ],
  step: 0,
  stepChannel: Channel.IN_APP,
  dueAtMs: 10_000,
  inInbox: true,
  inputs: { online: true },
});

const email = (notificationId: string, userId: string): PlannedRow => ({
  ...inApp(notificationId, userId),
  channel: Channel.EMAIL,
  state: S.QUEUED,
  reason: 'PLANNED',
  steps: [{ channel: Channel.EMAIL, afterMs: 0, until: 'ack' }],
  stepChannel: Channel.EMAIL,
  dueAtMs: 45_000,
  inInbox: false,
});

async function one<R extends Record<string, unknown>>(db: Database, text: string, values: unknown[] = []) {
  const { rows } = await db.query<R>({ text, values });
  return rows[0]!;
}

const notificationOf = (db: Database, id: string) =>
  one<{ state: number; expanded: number; due_at: Date | null }>(
    db,
    'select state, expanded, due_at from notifications where id = $1',
    [id],
  );

/** Heads agree with items: seqs 1 to head, each once; every row with an item names its seq. */
async function expectSound(db: Database): Promise<void> {
  const { rows } = await db.query({
    text: `select h.tenant, h.user_id, h.head, h.unseen, count(i.*)::int as items, count(distinct i.seq)::int as seqs,
                  min(i.seq) as first, max(i.seq) as last
             from inbox_heads h left join inbox_items i using (tenant, user_id)
            group by 1, 2, 3, 4
           having not (count(i.*) = h.head and count(distinct i.seq) = h.head and min(i.seq) = 1 and max(i.seq) = h.head
                       and h.unseen = h.head)`,
  });
  expect(rows).toEqual([]);
  const { rows: unnamed } = await db.query({
    text: `select i.* from inbox_items i left join deliveries d
             on d.notification_id = i.notification_id and d.user_id = i.user_id and d.seq = i.first_seq
            where d.seq is null`,
  });
  expect(unnamed).toEqual([]);
}

describe('a chunk', () => {
  it('stores rows, items and seqs in one commit and counts the page', async () => {
    await using t = await testDatabase();
    const handoff = new RecordingHandoff();
    const users = ['ada', 'bob', 'eve'];
    const id = await insertNotification(t.db, { users });
    const first = await storeChunk(t.db, handoff, [inApp(id, 'bob'), inApp(id, 'ada')], options);
    expect(first.fresh.map(({ userId, seq }) => [userId, seq])).toEqual([
      ['bob', 1],
      ['ada', 1],
    ]);
    expect(await notificationOf(t.db, id)).toMatchObject({
      state: N.EXPANDING,
      expanded: 2,
      due_at: expect.any(Date),
    });
    await storeChunk(t.db, handoff, [inApp(id, 'eve')], options);
    expect(await notificationOf(t.db, id)).toEqual({ state: N.EXPANDED, expanded: 3, due_at: null });
    await expectSound(t.db);
    const row = await one(
      t.db,
      `select steps, inputs, extract(epoch from due_at - created_at)::int as due from deliveries where user_id = 'bob'`,
    );
    expect(row).toEqual({ steps: inApp(id, 'bob').steps, inputs: { online: true }, due: 10 });
  });

  it('that comes again inserts nothing, counts nothing and hands nothing off', async () => {
    await using t = await testDatabase();
    const handoff = new RecordingHandoff();
    const id = await insertNotification(t.db, { users: ['ada', 'bob'] });
    const chunk = [inApp(id, 'ada'), email(id, 'ada')];
    await storeChunk(t.db, handoff, chunk, options);
    const again = await storeChunk(t.db, handoff, chunk, options);
    expect(again.fresh).toEqual([]);
    expect(again.before).toEqual(chunk);
    expect(handoff.committed).toHaveLength(1);
    expect(await notificationOf(t.db, id)).toMatchObject({ expanded: 1, state: N.EXPANDING });
    await expectSound(t.db);
  });

  it('hands off one record for each row that waits on a provider, by user, with its trace', async () => {
    await using t = await testDatabase();
    const handoff = new RecordingHandoff();
    const id = await insertNotification(t.db, { users: ['ada'], lane: Lane.CRITICAL });
    const traceparent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`;
    await storeChunk(t.db, handoff, [{ ...email(id, 'ada'), lane: Lane.CRITICAL }, inApp(id, 'ada')], {
      ...options,
      traceparents: new Map([[id, traceparent]]),
    });
    expect(handoff.committed).toMatchObject([
      { topic: 'carillon.email.critical', key: 'default\u001fada', headers: { traceparent } },
    ]);
    expect(fromBinary(ChannelRecordSchema, handoff.committed[0]!.value)).toMatchObject({
      tenant: 'default',
      notificationId: id,
      userId: 'ada',
      planChannel: Channel.EMAIL,
    });
  });

  it('stores nothing of notifications that were cancelled or have expired, and says which', async () => {
    await using t = await testDatabase();
    const handoff = new RecordingHandoff();
    const cancelled = await insertNotification(t.db, { users: ['ada'], state: N.CANCELLED });
    const expired = await insertNotification(t.db, { users: ['ada'], ttlMs: -1 });
    const good = await insertNotification(t.db, { users: ['ada'] });
    const chunk = await storeChunk(
      t.db,
      handoff,
      [cancelled, expired, good].map((id) => email(id, 'ada')),
      options,
    );
    expect(chunk.ended).toEqual(new Set([cancelled, expired]));
    expect(chunk.fresh.map((row) => row.notificationId)).toEqual([good]);
    expect(handoff.committed).toHaveLength(1);
  });

  it('gives one user items of several notifications in their order', async () => {
    await using t = await testDatabase();
    const ids = [];
    for (let n = 0; n < 5; n++) ids.push(await insertNotification(t.db, { users: ['ada'] }));
    const order = [ids[3]!, ids[0]!, ids[4]!, ids[1]!, ids[2]!];
    const chunk = await storeChunk(
      t.db,
      new RecordingHandoff(),
      order.map((id) => inApp(id, 'ada')),
      options,
    );
    expect(chunk.fresh.map((row) => [row.notificationId, row.seq])).toEqual(
      order.map((id, index) => [id, index + 1]),
    );
    await expectSound(t.db);
  });

  it('that came again wakes rows nobody has taken, and gives back items to show again', async () => {
    await using t = await testDatabase();
    const id = await insertNotification(t.db, { users: ['ada', 'bob', 'eve'] });
    const chunk = [inApp(id, 'ada'), email(id, 'bob'), inApp(id, 'eve')];
    await storeChunk(t.db, new RecordingHandoff(), chunk, options);
    await t.db.query({
      text: `update deliveries set state = ${S.DELIVERED}, due_at = null where user_id = 'eve'`,
    });
    const again = await storeChunk(t.db, new RecordingHandoff(), chunk, options);
    const shown = await redrive(t.db, again.before);
    expect(shown.map((row) => [row.userId, row.seq])).toEqual([['ada', 1]]);
    const { rows } = await t.db.query({
      text: `select user_id, due_at <= now() as due from deliveries where due_at is not null order by user_id`,
    });
    expect(rows).toEqual([
      { user_id: 'ada', due: true },
      { user_id: 'bob', due: true },
    ]);
  });
});

describe('many routers at once', () => {
  it('store overlapping users without a deadlock left over and without a gap, each row once', async () => {
    await using t = await testDatabase({ connections: 8 });
    const users = Array.from({ length: 40 }, (_, index) => `user-${index}`);
    const ids: string[] = [];
    for (let n = 0; n < 12; n++) ids.push(await insertNotification(t.db, { users }));
    // Each notification's page comes twice, each time with the users in another order, three notifications to a chunk.
    const shuffled = (seed: number) =>
      [...users].sort(
        (a, b) => ((a.length * 31 + a.charCodeAt(5) * seed) % 17) - ((b.charCodeAt(5) * seed) % 13),
      );
    const chunks = Array.from({ length: 24 }, (_, n) =>
      [0, 1, 2].flatMap((k) => shuffled(n + 3).map((user) => inApp(ids[(n + k * 5) % ids.length]!, user))),
    );
    const before = await one<{ deadlocks: string }>(
      t.db,
      'select deadlocks from pg_stat_database where datname = current_database()',
    );
    const stored = await Promise.all(
      Array.from({ length: 8 }, async (_, worker) => {
        let fresh = 0;
        for (let n = worker; n < chunks.length; n += 8)
          fresh += (await storeChunk(t.db, new RecordingHandoff(), chunks[n]!, options)).fresh.length;
        return fresh;
      }),
    );
    expect(stored.reduce((sum, count) => sum + count, 0)).toBe(ids.length * users.length);
    await expectSound(t.db);
    for (const id of ids)
      expect(await notificationOf(t.db, id)).toEqual({ state: N.EXPANDED, expanded: 40, due_at: null });
    await t.db.query({ text: 'select pg_stat_force_next_flush()' });
    expect(
      await one(t.db, 'select deadlocks from pg_stat_database where datname = current_database()'),
    ).toEqual(before);
  });

  it('meet a cancel that counts: nothing is stored after it, nothing it counted is missing', async () => {
    await using t = await testDatabase({ connections: 8 });
    const users = Array.from({ length: 200 }, (_, index) => `user-${index}`);
    for (let round = 0; round < 10; round++) {
      const id = await insertNotification(t.db, { users });
      const pages = Array.from({ length: 10 }, (_, n) =>
        users.slice(n * 20, n * 20 + 20).map((user) => inApp(id, user)),
      );
      const cancel = () => cancelNotification(t.db, 'default', id);
      const work = pages.map((page) => () => storeChunk(t.db, new RecordingHandoff(), page, options));
      const results = await Promise.all(
        [...work.slice(0, round), cancel, ...work.slice(round)].map((run) => run()),
      );
      const cancelled = results.find((result) => 'cancelled' in result);
      const left = await one<{ open: number; all: number }>(
        t.db,
        `select count(*) filter (where state <> ${S.CANCELLED})::int as open, count(*)::int as all from deliveries where notification_id = $1`,
        [id],
      );
      // What waits in the app may have been seen, what was not stored yet cannot have been.
      expect(left).toEqual({ open: 0, all: cancelled?.tooLate });
      expect(cancelled?.recipients).toBe(users.length - left.all);
      expect((await notificationOf(t.db, id)).state).toBe(N.CANCELLED);
    }
  });
});
