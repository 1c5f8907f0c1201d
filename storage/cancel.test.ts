// Cancel: what has not gone out stops, what may have reached somebody is counted, and who is sending meanwhile is waited for.
import { expect, test } from 'vitest';
import { Channel, DeliveryState, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { cancelNotification } from './cancel.ts';
import type { Database } from './database.ts';
import type { PlannedRow } from './delivery-row.ts';
import { storeChunk } from './store-deliveries.ts';

const S = DeliveryState;

function planned(
  notificationId: string,
  userId: string,
  state: DeliveryState,
  reason: string,
  inInbox: boolean,
): PlannedRow {
  const open = state === S.QUEUED || state === S.WAITING;
  return {
    notificationId,
    tenant: 'default',
    userId,
    channel: Channel.IN_APP,
    lane: 2,
    state,
    reason,
    steps: [
      { channel: Channel.IN_APP, afterMs: 10_000, until: 'ack' },
      { channel: Channel.EMAIL, afterMs: 0, until: 'ack' },
    ],
    step: state === S.QUEUED ? 1 : 0,
    stepChannel: state === S.QUEUED ? Channel.EMAIL : Channel.IN_APP,
    dueAtMs: open ? systemClock.now() + 60_000 : undefined,
    inInbox,
    inputs: {},
  };
}

async function store(db: Database, rows: readonly PlannedRow[]): Promise<void> {
  const nowMs = systemClock.now();
  await storeChunk(db, new RecordingHandoff(), rows, { nowMs, reconcileMs: 60_000, traceparents: new Map() });
}

const statesOf = async (db: Database, id: string) =>
  Object.fromEntries(
    (
      await db.query<{ user_id: string; state: number }>({
        text: 'select user_id, state from deliveries where notification_id = $1 and (due_at is null or state in (1, 2, 3, 7))',
        values: [id],
      })
    ).rows.map(({ user_id, state }) => [user_id, state]),
  );

test('stops what is open, counts what was too late, and takes back what nobody has acknowledged', async () => {
  await using t = await testDatabase();
  const users = ['acked', 'away', 'online', 'queued', 'sent'];
  const id = await insertNotification(t.db, { users: [...users, 'not-yet'] });
  await store(t.db, [
    planned(id, 'acked', S.WAITING, 'ONLINE', true),
    planned(id, 'away', S.QUEUED, 'OFFLINE', true),
    planned(id, 'online', S.WAITING, 'ONLINE', true),
    planned(id, 'queued', S.QUEUED, 'OFFLINE', false),
    planned(id, 'sent', S.SENT, 'STORED', true),
  ]);
  await t.db.query({ text: `update deliveries set reason = 'ACKED' where user_id = 'acked'` });

  expect(await cancelNotification(t.db, 'default', id)).toEqual({
    cancelled: true,
    // `away`, `queued`, and `not-yet`, who was never stored.
    recipients: 3,
    tooLate: 3,
  });
  expect(await statesOf(t.db, id)).toEqual({
    acked: S.DELIVERED,
    away: S.CANCELLED,
    online: S.CANCELLED,
    queued: S.CANCELLED,
    sent: S.SENT,
  });
  const { rows: items } = await t.db.query({ text: 'select user_id from inbox_items order by user_id' });
  expect(items).toEqual([{ user_id: 'acked' }, { user_id: 'sent' }]);
  const { rows: heads } = await t.db.query({
    text: 'select user_id, head, unseen, unread from inbox_heads order by user_id',
  });
  expect(heads).toEqual([
    { user_id: 'acked', head: 1, unseen: 1, unread: 1 },
    { user_id: 'away', head: 1, unseen: 0, unread: 0 },
    { user_id: 'online', head: 1, unseen: 0, unread: 0 },
    { user_id: 'sent', head: 1, unseen: 1, unread: 1 },
  ]);
  const { rows } = await t.db.query({ text: 'select state, due_at from notifications' });
  expect(rows).toEqual([{ state: NotificationState.CANCELLED, due_at: null }]);
  expect(await cancelNotification(t.db, 'default', id)).toEqual({
    cancelled: true,
    recipients: 0,
    tooLate: 2,
  });
});

test('is too late when all have been served', async () => {
  await using t = await testDatabase();
  const id = await insertNotification(t.db, { users: ['a', 'b'] });
  await store(t.db, [planned(id, 'a', S.SENT, 'STORED', true), planned(id, 'b', S.SENT, 'STORED', true)]);
  expect(await cancelNotification(t.db, 'default', id)).toEqual({
    cancelled: false,
    recipients: 0,
    tooLate: 2,
  });
  const { rows } = await t.db.query({ text: 'select state from notifications' });
  expect(rows).toEqual([{ state: NotificationState.EXPANDED }]);
});

test("another tenant's notification is not there", async () => {
  await using t = await testDatabase();
  const id = await insertNotification(t.db, { users: ['a'] });
  await expect(cancelNotification(t.db, 'other', id)).rejects.toMatchObject({
    reason: 'NOTIFICATION_NOT_FOUND',
  });
});

test('waits for who is about to send, and counts it as too late', async () => {
  await using t = await testDatabase();
  const id = await insertNotification(t.db, { users: ['a', 'b'] });
  await store(t.db, [
    planned(id, 'a', S.QUEUED, 'OFFLINE', false),
    planned(id, 'b', S.QUEUED, 'OFFLINE', false),
  ]);
  const locked = Promise.withResolvers<void>();
  const proceed = Promise.withResolvers<void>();
  const sender = t.db.transaction(async (tx) => {
    await tx.query({ text: 'select state from notifications where id = $1 for key share', values: [id] });
    locked.resolve();
    await proceed.promise;
    await tx.query({ text: `update deliveries set state = ${S.SENDING} where user_id = 'a'` });
  });
  await locked.promise;
  let done = false;
  const cancelled = cancelNotification(t.db, 'default', id).finally(() => {
    done = true;
  });
  await expect
    .poll(async () => {
      const { rows } = await t.db.query<{ n: number }>({
        text: `select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      });
      return rows[0]?.n;
    })
    .toBe(1);
  expect(done).toBe(false);
  proceed.resolve();
  await sender;
  expect(await cancelled).toEqual({ cancelled: true, recipients: 1, tooLate: 1 });
  expect(await statesOf(t.db, id)).toEqual({ a: S.SENDING, b: S.CANCELLED });
});

test('cancels and stores that meet never deadlock, and no row is left open', async () => {
  await using t = await testDatabase({ connections: 8 });
  const users = Array.from({ length: 40 }, (_, index) => `user-${index}`);
  const deadlocks = async () =>
    (
      await t.db.query<{ n: number }>({
        text: 'select deadlocks::int as n from pg_stat_database where datname = current_database()',
      })
    ).rows[0]?.n;
  for (let round = 0; round < 10; round++) {
    const ids = await Promise.all([0, 1, 2].map(() => insertNotification(t.db, { users })));
    await Promise.all(
      ids.flatMap((id, index) => [
        store(
          t.db,
          users.slice(0, 20).map((user) => planned(id, user, S.WAITING, 'ONLINE', true)),
        ),
        store(
          t.db,
          users.slice(20).map((user) => planned(id, user, S.WAITING, 'ONLINE', true)),
        ),
        ...(index < 2 ? [cancelNotification(t.db, 'default', id)] : []),
      ]),
    );
    for (const id of ids.slice(0, 2)) await cancelNotification(t.db, 'default', id);
    const { rows } = await t.db.query({
      text: 'select 1 from deliveries where notification_id = any($1::uuid[]) and due_at is not null',
      values: [ids.slice(0, 2)],
    });
    expect(rows).toEqual([]);
  }
  expect(await deadlocks()).toBe(0);
  const { rows: wrong } = await t.db.query({
    text: `select h.user_id from inbox_heads h
             left join (select user_id, count(*)::int as n from inbox_items group by user_id) i using (user_id)
            where h.unseen <> coalesce(i.n, 0) or h.unread <> coalesce(i.n, 0)`,
  });
  expect(wrong).toEqual([]);
});
