// A client's ack is a fact: it moves its own deliveries forward, once, and whatever still stood behind them ends.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Channel, DeliveryState, Lane } from '../gen/carillon/v1/notification_pb.ts';
import { testDatabase } from '../test/support/database.ts';
import { deliveriesOf, seedInbox } from '../test/support/inbox-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { acknowledge } from './acks.ts';
import type { Database } from './database.ts';
import type { Step } from './delivery-row.ts';
import { mayBecome } from './delivery-states.ts';

const handoff = new RecordingHandoff();
const S = DeliveryState;
const range = (userId: string, after: number, upto: number) => ({ tenant: 'default', userId, after, upto });
const then = (until: 'ack' | 'read'): Step[] => [
  { channel: Channel.IN_APP, afterMs: 10_000, until },
  { channel: Channel.PUSH, afterMs: 0, until: 'ack' },
];

test('an ack covers what lies after its beginning, up to its end, of its own user', async () => {
  await using t = await testDatabase();
  const ids = await seedInbox(t.db, { users: ['ada', 'bob'], count: 5 });
  const reported = await acknowledge(t.db, handoff, [
    range('ada', 1, 3),
    range('ada', 4, 5),
    range('ada', 2, 3),
  ]);
  expect(reported.map(({ seq }) => seq).sort()).toEqual([2, 3, 5]);
  const states = await Promise.all(ids.map((id) => deliveriesOf(t.db, id)));
  expect(states.map(([ada, bob]) => [ada!.state, bob!.state])).toEqual([
    [S.SENT, S.SENT],
    [S.DELIVERED, S.SENT],
    [S.DELIVERED, S.SENT],
    [S.SENT, S.SENT],
    [S.DELIVERED, S.SENT],
  ]);
});

test('an ack says what it was the first to say, with lane and trace', async () => {
  await using t = await testDatabase();
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const [id] = await seedInbox(t.db, { users: ['ada'], lane: Lane.CRITICAL, traceparent });
  expect(await acknowledge(t.db, handoff, [range('ada', 0, 1)])).toEqual([
    {
      notificationId: id,
      tenant: 'default',
      userId: 'ada',
      seq: 1,
      lane: Lane.CRITICAL,
      first: true,
      traceparent,
    },
  ]);
  expect(await acknowledge(t.db, handoff, [range('ada', 0, 1)])).toEqual([]);
});

test('an ack ends the wait for the next step, and shuts out who held the row', async () => {
  await using t = await testDatabase();
  const [id] = await seedInbox(t.db, { users: ['ada'], state: S.WAITING, steps: then('ack') });
  await acknowledge(t.db, handoff, [range('ada', 0, 1)]);
  expect(await deliveriesOf(t.db, id!)).toEqual([
    { user: 'ada', state: S.DELIVERED, reason: '', due: false, fence: 1 },
  ]);
});

test('an ack leaves a step that waits for a read, counts once, and stops the wait no later', async () => {
  await using t = await testDatabase();
  const [id] = await seedInbox(t.db, { users: ['ada'], state: S.WAITING, steps: then('read') });
  expect(await acknowledge(t.db, handoff, [range('ada', 0, 1)])).toMatchObject([{ first: true }]);
  expect(await acknowledge(t.db, handoff, [range('ada', 0, 1)])).toEqual([]);
  expect(await deliveriesOf(t.db, id!)).toEqual([
    { user: 'ada', state: S.WAITING, reason: 'ACKED', due: true, fence: 0 },
  ]);
});

test('from each state an ack moves as the lattice says, and never back', async () => {
  await using t = await testDatabase();
  const all = Object.values(S).filter((state) => state !== S.UNSPECIFIED);
  const ids: string[] = [];
  for (const state of all) ids.push(...(await seedInbox(t.db, { users: ['ada'], state })));
  await acknowledge(t.db, handoff, [range('ada', 0, all.length)]);
  const after = await Promise.all(ids.map(async (id) => (await deliveriesOf(t.db, id))[0]!));
  expect(after.map(({ state }) => state)).toEqual(
    all.map((state) => (mayBecome(S.DELIVERED).includes(state) ? S.DELIVERED : state)),
  );
  expect(after.every(({ due }) => !due)).toBe(true);
});

test('an ack is one statement, without a transaction around it', async () => {
  await using t = await testDatabase();
  await seedInbox(t.db, { users: ['ada'], count: 3 });
  const db: Database = {
    ...t.db,
    transaction: () => Promise.reject(new Error('asked for a transaction')),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  expect(await acknowledge(db, handoff, [range('ada', 0, 3)])).toHaveLength(3);
});

test('acks of many devices at once, in any order and overlap, count each item once and never deadlock', async () => {
  await using t = await testDatabase();
  const users = ['ada', 'bob', 'cleo'];
  await seedInbox(t.db, { users, count: 12 });
  const ranges = fc.record({ user: fc.constantFrom(...users), a: fc.nat(12), b: fc.nat(12) });
  const batches = fc.array(fc.array(ranges, { minLength: 1, maxLength: 8 }), { minLength: 2, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(batches, async (all) => {
      await t.db.query({ text: `update deliveries set state = ${S.SENT}` });
      const asked = all.map((batch) =>
        batch.map(({ user, a, b }) => range(user, Math.min(a, b), Math.max(a, b))),
      );
      const answers = (await Promise.all(asked.map((batch) => acknowledge(t.db, handoff, batch)))).flat();
      const keys = answers.map(({ userId, seq }) => `${userId} ${seq}`);
      expect(new Set(keys).size).toBe(keys.length);
      expect(keys.sort()).toEqual((await delivered(t.db)).sort());
      const covered = new Set(
        asked
          .flat()
          .flatMap(({ userId, after, upto }) =>
            Array.from({ length: upto - after }, (_, index) => `${userId} ${after + index + 1}`),
          ),
      );
      expect(keys.sort()).toEqual([...covered].sort());
    }),
    { numRuns: 40, interruptAfterTimeLimit: 20_000 },
  );
});

test('an ack reads few pages, also with a plan made before there were rows', async () => {
  await using t = await testDatabase({ connections: 1 });
  const ranges = Array.from({ length: 20 }, (_, index) => range(`u${index + 1}`, 0, 2));
  for (let round = 0; round < 7; round++) await acknowledge(t.db, handoff, ranges);
  const others = Array.from({ length: 4_000 }, (_, index) => `u${index + 1}`);
  await seedInbox(t.db, { users: others, count: 3 });
  const before = await pagesRead(t.db);
  expect(await acknowledge(t.db, handoff, ranges)).toHaveLength(40);
  const read = (await pagesRead(t.db)) - before;
  expect(read).toBeGreaterThan(0);
  // 40 rows: found, locked and written, each through an index or two in a partition or five.
  expect(read).toBeLessThan(40 * 60);
}, 30_000);

async function pagesRead(db: Database): Promise<number> {
  await db.query({ text: 'select pg_stat_force_next_flush()' });
  const { rows } = await db.query<{ n: string }>({
    text: `select coalesce(sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read), 0)::text as n
             from pg_statio_user_tables where relname similar to '(inbox\\_items|deliveries|notifications)%'`,
  });
  return Number(rows[0]!.n);
}

async function delivered(db: Database): Promise<string[]> {
  const { rows } = await db.query<{ key: string }>({
    text: `select user_id || ' ' || seq as key from deliveries where state = ${S.DELIVERED}`,
  });
  return rows.map(({ key }) => key);
}
