// Marks move items to the head once each, and the counts are always those of the items.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Channel, DeliveryState } from '../gen/carillon/v1/notification_pb.ts';
import { testDatabase } from '../test/support/database.ts';
import { deliveriesOf, seedInbox } from '../test/support/inbox-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { acknowledge } from './acks.ts';
import type { Database } from './database.ts';
import type { Step } from './delivery-row.ts';
import { type MarkKind, type MarkRequest, markInbox } from './inbox-marks.ts';

const handoff = new RecordingHandoff();
const S = DeliveryState;
const ada = { tenant: 'default', userId: 'ada' };
const mark = (db: Database, kind: MarkKind, what: MarkRequest['what']) =>
  markInbox(db, handoff, { ...ada, kind, what });

async function itemsOf(db: Database) {
  const { rows } = await db.query<{
    seq: number;
    first: number;
    seen: boolean;
    read: boolean;
    archived: boolean;
  }>({
    text: `select seq, first_seq as first, seen_at is not null as seen, read_at is not null as read,
                  archived_at is not null as archived from inbox_items where user_id = 'ada' order by seq`,
  });
  return rows;
}

async function headOf(db: Database) {
  const { rows } = await db.query<{ head: number; unseen: number; unread: number }>({
    text: `select head, unseen, unread from inbox_heads where user_id = 'ada'`,
  });
  return rows[0]!;
}

test('a read item moves to the head, is seen too, and its delivery is OPENED', async () => {
  await using t = await testDatabase();
  const steps: Step[] = [
    { channel: Channel.IN_APP, afterMs: 10_000, until: 'read' },
    { channel: Channel.PUSH, afterMs: 0, until: 'ack' },
  ];
  const ids = await seedInbox(t.db, { users: ['ada'], count: 3, state: S.WAITING, steps });
  const answer = await mark(t.db, 'read', { notificationIds: [ids[2]!, ids[0]!] });
  expect(answer).toMatchObject({ marked: 2, head: 5, unseen: 1, unread: 1 });
  expect(answer.reported).toMatchObject([{ first: true }, { first: true }]);
  expect((await itemsOf(t.db)).map(({ seq, first, seen, read }) => [seq, first, seen, read])).toEqual([
    [2, 2, false, false],
    [4, 1, true, true],
    [5, 3, true, true],
  ]);
  expect(await deliveriesOf(t.db, ids[0]!)).toEqual([
    { user: 'ada', state: S.OPENED, reason: '', due: false, fence: 1 },
  ]);
  expect(await deliveriesOf(t.db, ids[1]!)).toMatchObject([{ state: S.WAITING, due: true }]);
});

test('marking again moves nothing', async () => {
  await using t = await testDatabase();
  const ids = await seedInbox(t.db, { users: ['ada'], count: 2 });
  await mark(t.db, 'read', { notificationIds: ids });
  expect(await mark(t.db, 'read', { notificationIds: ids })).toMatchObject({ marked: 0, head: 4, unread: 0 });
  expect(await mark(t.db, 'seen', { upto: 100, atMost: 10 })).toMatchObject({
    marked: 0,
    head: 4,
    unseen: 0,
  });
});

test('seen delivers; a step that waits for a read goes on waiting', async () => {
  await using t = await testDatabase();
  const [plain] = await seedInbox(t.db, { users: ['ada'] });
  const steps: Step[] = [
    { channel: Channel.IN_APP, afterMs: 10_000, until: 'read' },
    { channel: Channel.PUSH, afterMs: 0, until: 'ack' },
  ];
  const [waiting] = await seedInbox(t.db, { users: ['ada'], state: S.WAITING, steps });
  expect(await mark(t.db, 'seen', { upto: 2, atMost: 10 })).toMatchObject({
    marked: 2,
    unseen: 0,
    unread: 2,
  });
  expect(await deliveriesOf(t.db, plain!)).toMatchObject([{ state: S.DELIVERED }]);
  expect(await deliveriesOf(t.db, waiting!)).toMatchObject([
    { state: S.WAITING, reason: 'ACKED', due: true },
  ]);
  await mark(t.db, 'archived', { notificationIds: [waiting!] });
  expect(await deliveriesOf(t.db, waiting!)).toMatchObject([{ state: S.DELIVERED, due: false }]);
});

test('everything up to a position, newest first, at most so many', async () => {
  await using t = await testDatabase();
  await seedInbox(t.db, { users: ['ada'], count: 5 });
  expect(await mark(t.db, 'read', { upto: 4, atMost: 3 })).toMatchObject({ marked: 3, unread: 2 });
  expect((await itemsOf(t.db)).filter(({ read }) => read).map(({ first }) => first)).toEqual([2, 3, 4]);
});

test("nobody marks what is another user's", async () => {
  await using t = await testDatabase();
  const [id] = await seedInbox(t.db, { users: ['bob'] });
  expect(await mark(t.db, 'read', { notificationIds: [id!] })).toMatchObject({
    marked: 0,
    head: 0,
    reported: [],
  });
  expect(await deliveriesOf(t.db, id!)).toMatchObject([{ state: S.SENT }]);
});

test('counts, positions and states agree after any marks, acks and new items, all at once', async () => {
  await using t = await testDatabase();
  const kinds = fc.constantFrom<MarkKind>('seen', 'read', 'archived');
  const picks = fc.oneof(
    fc.record({ kind: kinds, upto: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ kind: kinds, picked: fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }) }),
    fc.record({ ack: fc.nat(20) }),
    fc.constant({ send: true }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(picks, { minLength: 1, maxLength: 6 }), { maxLength: 4 }),
      async (rounds) => {
        await t.db.query({ text: 'truncate inbox_items, inbox_heads, deliveries' });
        const ids = await seedInbox(t.db, { users: ['ada'], count: 4 });
        for (const round of rounds) {
          await Promise.all(
            round.map(async (pick) => {
              if ('send' in pick) ids.push(...(await seedInbox(t.db, { users: ['ada'] })));
              else if ('ack' in pick)
                await acknowledge(t.db, handoff, [{ ...ada, after: 0, upto: pick.ack }]);
              else if ('upto' in pick) await mark(t.db, pick.kind, { upto: pick.upto, atMost: 5 });
              else
                await mark(t.db, pick.kind, {
                  notificationIds: pick.picked.map((at) => ids[at % ids.length]!),
                });
            }),
          );
          const items = await itemsOf(t.db);
          const open = items.filter(({ archived }) => !archived);
          const { head, unseen, unread } = await headOf(t.db);
          expect(unseen).toBe(open.filter(({ seen }) => !seen).length);
          expect(unread).toBe(open.filter(({ read }) => !read).length);
          expect(items.map(({ first }) => first).every((first, at) => first <= items[at]!.seq)).toBe(true);
          expect(new Set(items.map(({ seq }) => seq)).size).toBe(items.length);
          expect(head).toBeGreaterThanOrEqual(items.at(-1)?.seq ?? 0);
          const { rows } = await t.db.query<{ n: string }>({
            text: `select count(*) as n from deliveries d join inbox_items i on i.notification_id = d.notification_id
                  where (i.read_at is not null) <> (d.state = ${S.OPENED})`,
          });
          expect(rows[0]!.n).toBe('0');
        }
      },
    ),
    { numRuns: 25, interruptAfterTimeLimit: 30_000 },
  );
});
