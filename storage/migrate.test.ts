// Migrations run once, by one of several processes, and refuse to run on a history that was changed.
import { expect, test } from 'vitest';
import { systemClock } from '../runtime/clock.ts';
import { testDatabase } from '../test/support/database.ts';
import { migrate } from './migrate.ts';
import { dropPartitions, ensurePartitions, partitionedTables } from './partitions.ts';

test('a database that is up to date is left alone, however many look at once', async () => {
  await using t = await testDatabase();
  expect(await Promise.all([migrate(t.db), migrate(t.db), migrate(t.db)])).toEqual([[], [], []]);
});

test('a migration that was changed after it ran refuses the start', async () => {
  await using t = await testDatabase();
  await t.db.query({ text: `update schema_migrations set checksum = 'other' where name = '0001_mesh.sql'` });
  await expect(migrate(t.db)).rejects.toThrow(/0001_mesh\.sql was changed/);
});

test('the weeks to come exist before they begin, and old ones go whole', async () => {
  await using t = await testDatabase();
  const now = systemClock.now();
  expect(await ensurePartitions(t.db, now)).toEqual([]);
  const inAYear = now + 365 * 86_400_000;
  expect(await ensurePartitions(t.db, inAYear)).toHaveLength(5 * partitionedTables.length);
  const dropped = await dropPartitions(t.db, now + 180 * 86_400_000);
  expect(dropped.length).toBeGreaterThanOrEqual(4 * partitionedTables.length);
  expect(await dropPartitions(t.db, now + 180 * 86_400_000)).toEqual([]);
});

test('items that go with their week no longer count as unseen and unread', async () => {
  await using t = await testDatabase();
  const now = systemClock.now();
  await ensurePartitions(t.db, now - 210 * 86_400_000);
  const oldMs = now - 210 * 86_400_000;
  const idAt = (ms: number, last: string) => {
    const hex = ms.toString(16).padStart(12, '0');
    return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-00000000000${last}`;
  };
  const item = (user: string, seq: number, id: string, read: boolean) =>
    t.db.query({
      text: `insert into inbox_items (tenant, user_id, seq, first_seq, notification_id, seen_at, read_at, created_at)
             values ('default', $1, $2, $2, $3, case when $4 then now() end, case when $4 then now() end, now())`,
      values: [user, seq, id, read],
    });
  await item('ada', 1, idAt(oldMs, '1'), false);
  await item('ada', 2, idAt(oldMs, '2'), true);
  await item('ada', 3, idAt(now, '3'), false);
  await item('grace', 1, idAt(now, '4'), false);
  await t.db.query({
    text: `insert into inbox_heads (tenant, user_id, head, unseen, unread) values ('default', 'ada', 3, 2, 2), ('default', 'grace', 1, 1, 1)`,
  });
  await dropPartitions(t.db, now - 180 * 86_400_000);
  const { rows } = await t.db.query({
    text: 'select user_id, head, unseen, unread from inbox_heads order by 1',
  });
  expect(rows).toEqual([
    { user_id: 'ada', head: 3, unseen: 1, unread: 1 },
    { user_id: 'grace', head: 1, unseen: 1, unread: 1 },
  ]);
});
