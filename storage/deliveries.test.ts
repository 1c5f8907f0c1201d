// Moves of stored rows are compare-and-sets: acks, cancels, due loops and workers meet on one row, and it only goes forward.
import { describe, expect, it } from 'vitest';
import { Channel, DeliveryState, Lane, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { acknowledge } from './acks.ts';
import { cancelNotification } from './cancel.ts';
import { earliestDueMs } from './claims.ts';
import type { Database } from './database.ts';
import { hasten, nextStep, postpone, settle, takeDue } from './deliveries.ts';
import type { DeliveryRow, PlannedRow } from './delivery-row.ts';
import { sqlOpenDeliveries } from './delivery-states.ts';
import { redrive, storeChunk } from './store-deliveries.ts';

const S = DeliveryState;
const N = NotificationState;

const row = (notificationId: string, userId: string): PlannedRow => ({
  notificationId,
  userId,
  channel: Channel.IN_APP,
  tenant: 'default',
  lane: Lane.NORMAL,
  state: S.WAITING,
  reason: 'ONLINE',
  steps: [
    { channel: Channel.IN_APP, afterMs: 10_000, until: 'ack' },
    { channel: Channel.PUSH, afterMs: 10_000, until: 'ack' },
    { channel: Channel.EMAIL, afterMs: 0, until: 'ack' },
  ],
  step: 0,
  stepChannel: Channel.IN_APP,
  dueAtMs: 0,
  inInbox: true,
  inputs: { online: true },
});

const store = (db: Database, handoff: RecordingHandoff, rows: PlannedRow[]) =>
  storeChunk(db, handoff, rows, { nowMs: 0, reconcileMs: 1_000, traceparents: new Map() });

const take = (db: Database, count = 100): Promise<DeliveryRow[]> =>
  takeDue(db, { channel: Channel.IN_APP, lane: Lane.NORMAL, count, leaseMs: 15_000 });

async function oneRow(db: Database) {
  const { rows } = await db.query<{
    state: number;
    reason: string;
    step: number;
    fence: number;
    due: number | null;
  }>({
    text: `select state, reason, step, fence, round(extract(epoch from due_at - now()))::int as due from deliveries`,
  });
  return rows[0]!;
}

describe('a due row', () => {
  it('is taken by one, with a lease; whoever had it before changes nothing any more', async () => {
    await using t = await testDatabase();
    const handoff = new RecordingHandoff();
    const id = await insertNotification(t.db, { users: ['ada'] });
    await store(t.db, handoff, [row(id, 'ada')]);
    const zombie = await take(t.db);
    expect(zombie).toMatchObject([{ userId: 'ada', fence: 1, seq: 1, step: 0, state: S.WAITING }]);
    expect(await take(t.db)).toEqual([]);
    expect(
      await earliestDueMs(t.db, { stepChannel: Channel.IN_APP, lane: Lane.NORMAL, now: null }),
    ).toBeGreaterThan(10_000);
    await t.db.query({ text: 'update deliveries set due_at = now()' });
    const [held] = await take(t.db);

    expect(
      await postpone(
        t.db,
        zombie.map((one) => ({ ...one, inMs: 1 })),
      ),
    ).toBe(0);
    expect(
      await hasten(
        t.db,
        zombie.map((one) => ({ ...one, inMs: 1 })),
      ),
    ).toBe(0);
    expect(await settle(t.db, zombie, S.SENT, 'STORED')).toEqual([]);
    expect(
      await nextStep(
        t.db,
        handoff,
        zombie.map((one) => ({ row: one, reason: 'NO_ACK' })),
      ),
    ).toEqual([]);
    expect(await oneRow(t.db)).toEqual({ state: S.WAITING, reason: 'ONLINE', step: 0, fence: 2, due: 15 });
    expect(await postpone(t.db, [{ ...held!, inMs: 30_000 }])).toBe(1);
    expect(await hasten(t.db, [{ ...held!, inMs: 60_000 }])).toBe(0);
    expect(await hasten(t.db, [{ ...held!, inMs: 20_000 }])).toBe(1);
    expect(await oneRow(t.db)).toMatchObject({ due: 20 });
  });

  it('goes through its steps, each with a record, and does not go on past the last', async () => {
    await using t = await testDatabase();
    const handoff = new RecordingHandoff();
    const id = await insertNotification(t.db, { users: ['ada'] });
    await store(t.db, handoff, [row(id, 'ada')]);
    let [held] = await take(t.db);
    [held] = await nextStep(t.db, handoff, [{ row: held!, reason: 'NO_ACK', traceparent: 'of the move' }]);
    expect(held).toMatchObject({ step: 1, stepChannel: Channel.PUSH, state: S.QUEUED, tries: 0 });
    [held] = await nextStep(t.db, handoff, [{ row: held!, reason: 'PERMANENT' }]);
    expect(held).toMatchObject({ step: 2, stepChannel: Channel.EMAIL, reason: 'PERMANENT' });
    expect(await nextStep(t.db, handoff, [{ row: held!, reason: 'PERMANENT' }])).toEqual([]);
    expect(handoff.committed.map(({ topic, headers }) => [topic, headers])).toEqual([
      ['carillon.push.normal', { traceparent: 'of the move' }],
      ['carillon.email.normal', {}],
    ]);
    expect(await settle(t.db, [held!], S.FAILED, 'PERMANENT')).toMatchObject([{ state: S.FAILED }]);
    expect(await oneRow(t.db)).toMatchObject({ state: S.FAILED, reason: 'PERMANENT', due: null });
  });

  it('does not go on when its notification was cancelled or has expired', async () => {
    await using t = await testDatabase();
    const handoff = new RecordingHandoff();
    const id = await insertNotification(t.db, { users: ['ada'] });
    await store(t.db, handoff, [row(id, 'ada')]);
    const held = await take(t.db);
    await t.db.query({ text: `update notifications set expires_at = now()` });
    expect(
      await nextStep(
        t.db,
        handoff,
        held.map((one) => ({ row: one, reason: 'NO_ACK' })),
      ),
    ).toEqual([]);
    await t.db.query({
      text: `update notifications set expires_at = now() + interval '1 h', state = ${N.CANCELLED}`,
    });
    expect(
      await nextStep(
        t.db,
        handoff,
        held.map((one) => ({ row: one, reason: 'NO_ACK' })),
      ),
    ).toEqual([]);
    expect(handoff.committed).toEqual([]);
  });

  it('is not settled into a state that is open', async () => {
    await using t = await testDatabase();
    await expect(settle(t.db, [], S.WAITING, 'X')).rejects.toThrow(TypeError);
  });
});

describe('acks, cancels, due loops and pages that come again, all at once', () => {
  it('leave no deadlock, no row twice, and every open row with a due time', async () => {
    await using t = await testDatabase({ connections: 10 });
    const { db } = t;
    const users = Array.from({ length: 60 }, (_, n) => `user-${n}`);
    const ids: string[] = [];
    for (let n = 0; n < 10; n++) ids.push(await insertNotification(db, { users }));
    const handoff = new RecordingHandoff();
    const chunks = ids.flatMap((id) => [
      users.slice(0, 30).map((user) => row(id, user)),
      users.slice(30).map((user) => row(id, user)),
    ]);
    const pages = [...chunks, ...chunks.toReversed().map((chunk) => chunk.toReversed())];
    const router = async (from: number) => {
      for (let n = from; n < pages.length; n += 3) {
        const { before } = await store(db, handoff, pages[n]!);
        await redrive(db, before);
      }
    };
    const due = async () => {
      for (let turn = 0; turn < 25; turn++)
        await nextStep(
          db,
          handoff,
          (await take(db, 40)).map((one) => ({ row: one, reason: 'NO_ACK' })),
        );
    };
    const acks = async () => {
      for (let turn = 0; turn < 25; turn++)
        await acknowledge(
          db,
          handoff,
          users.map((userId, index) => ({ tenant: 'default', userId, after: 0, upto: (turn + index) % 8 })),
        );
    };
    const cancels = async () => {
      for (const id of ids.slice(0, 4)) await cancelNotification(db, 'default', id);
    };
    await Promise.all([router(0), router(1), router(2), due(), due(), acks(), acks(), cancels()]);

    const { rows } = await db.query({
      text: `select count(*)::int as all, count(*) filter (where (d.due_at is null) = (d.state in (${sqlOpenDeliveries})))::int as wrong,
                    count(*) filter (where n.state = ${N.CANCELLED} and d.state in (${S.QUEUED}, ${S.WAITING}))::int as leaked
               from deliveries d join notifications n on n.id = d.notification_id`,
    });
    expect(rows).toMatchObject([{ wrong: 0, leaked: 0 }]);
    const { rows: heads } = await db.query({
      text: `select h.user_id from inbox_heads h left join deliveries d on d.user_id = h.user_id
              group by h.tenant, h.user_id, h.head having not (count(d.seq) = h.head and count(distinct d.seq) = h.head and max(d.seq) = h.head)`,
    });
    expect(heads).toEqual([]);
    // A cancel that comes when everybody has acknowledged is too late, and changes nothing.
    const { rows: notifications } = await db.query<{ state: number }>({
      text: 'select state from notifications',
    });
    for (const { state } of notifications) expect([N.EXPANDED, N.CANCELLED]).toContain(state);
    await db.query({ text: 'select pg_stat_force_next_flush()' });
    const { rows: stats } = await db.query<{ deadlocks: string }>({
      text: 'select deadlocks from pg_stat_database where datname = current_database()',
    });
    expect(Number(stats[0]?.deadlocks)).toBe(0);
  });
});
