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
