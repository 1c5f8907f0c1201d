// What a device is told it missed: each thing at its place, pages of one snapshot, and no more work than there is news.
import { expect, test } from 'vitest';
import { systemIds } from '../runtime/ids.ts';
import { testDatabase } from '../test/support/database.ts';
import { seedInbox } from '../test/support/inbox-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import type { Database } from './database.ts';
import { readContents, readPages } from './inbox.ts';
import { markInbox } from './inbox-marks.ts';

const handoff = new RecordingHandoff();
const ask = (userId: string, after: number) => ({ tenant: 'default', userId, after });

test('items come at the place where they were first delivered, marks where they were made', async () => {
  await using t = await testDatabase();
  const ids = await seedInbox(t.db, { users: ['ada'], count: 5 });
  await markInbox(t.db, handoff, {
    tenant: 'default',
    userId: 'ada',
    kind: 'read',
    what: { notificationIds: [ids[1]!] },
  });
  const [all, some, none, nobody] = await readPages(
    t.db,
    [ask('ada', 0), ask('ada', 3), ask('ada', 6), ask('eve', 0)],
    100,
  );
  expect(all).toMatchObject({ head: 6, unseen: 4, unread: 4, complete: true });
  expect(all!.rows.map(({ at, firstSeq, read }) => [at, firstSeq, read])).toEqual([
    [1, 1, false],
    [2, 2, true],
    [3, 3, false],
    [4, 4, false],
    [5, 5, false],
    [6, 2, true],
  ]);
  expect(all!.rows.map(({ notificationId }) => notificationId)).toEqual([...ids, ids[1]]);
  expect(some!.rows.map(({ at }) => at)).toEqual([4, 5, 6]);
  expect(none).toEqual({ head: 6, unseen: 4, unread: 4, rows: [], complete: true });
  expect(nobody).toEqual({ head: 0, unseen: 0, unread: 0, rows: [], complete: true });
});

test('pages follow one another to the head', async () => {
  await using t = await testDatabase();
  const ids = await seedInbox(t.db, { users: ['ada'], count: 7 });
  await markInbox(t.db, handoff, {
    tenant: 'default',
    userId: 'ada',
    kind: 'seen',
    what: { notificationIds: ids.slice(0, 3) },
  });
  const seen: number[] = [];
  for (let after = 0, complete = false; !complete; ) {
    const [page] = await readPages(t.db, [ask('ada', after)], 2);
    expect(page!.rows.length).toBeLessThanOrEqual(2);
    seen.push(...page!.rows.map(({ at }) => at));
    complete = page!.complete;
    after = page!.rows.at(-1)?.at ?? after;
  }
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('contents are read as far as the budget reaches, the first one always', async () => {
  await using t = await testDatabase();
  const [a] = await seedInbox(t.db, {
    users: ['ada'],
    notification: { content: { body: 'a'.repeat(5_000) } },
  });
  const [b] = await seedInbox(t.db, {
    users: ['ada'],
    notification: { content: { body: 'b'.repeat(5_000) } },
  });
  const [c] = await seedInbox(t.db, { users: ['ada'], notification: { content: { body: 'c' } } });
  const gone = systemIds.uuid();
  const read = async (ids: string[], budget: number) => {
    const { found, complete } = await readContents(t.db, ids, budget);
    return { ids: found.map(({ id }) => id), complete };
  };
  expect(await read([gone, b!, a!, c!], 1)).toEqual({ ids: [b], complete: false });
  expect(await read([b!, a!, c!], 5_100)).toEqual({ ids: [b, a], complete: false });
  expect(await read([c!, gone, a!], 1_000_000)).toEqual({ ids: [c, a], complete: true });
  expect(await read([gone], 1)).toEqual({ ids: [], complete: true });
});

/** 40,000 items of other users, so that a wrong plan would show. */
async function fill(db: Database): Promise<void> {
  await db.query({
    text: `insert into inbox_heads (tenant, user_id, head, unseen, unread) select 'default', 'u' || n, 10, 10, 10 from generate_series(1, 4000) n`,
  });
  await db.query({
    text: `insert into inbox_items (tenant, user_id, seq, first_seq, notification_id, created_at)
           select 'default', 'u' || n, s, s, $1::uuid, now() from generate_series(1, 4000) n, generate_series(1, 10) s`,
    values: [systemIds.uuid()],
  });
}

test('a look at users without news touches their heads alone, also with a plan made before there were rows', async () => {
  await using t = await testDatabase({ connections: 1 });
  const users = Array.from({ length: 20 }, (_, index) => `u${index + 1}`);
  for (let round = 0; round < 7; round++)
    await readPages(
      t.db,
      users.map((user) => ask(user, 0)),
      200,
    );
  await fill(t.db);
  const buffers = async (after: number) => {
    await t.db.query({ text: 'select pg_stat_force_next_flush()' });
    const before = await t.db.query<{ n: string }>({ text: COUNT });
    await readPages(
      t.db,
      users.map((user) => ask(user, after)),
      200,
    );
    await t.db.query({ text: 'select pg_stat_force_next_flush()' });
    const afterwards = await t.db.query<{ n: string }>({ text: COUNT });
    return Number(afterwards.rows[0]!.n) - Number(before.rows[0]!.n);
  };
  expect(await buffers(10)).toBe(0);
  // 20 users: a few pages of each index and of the table, in each of the partitions.
  const read = await buffers(0);
  expect(read).toBeGreaterThan(0);
  expect(read).toBeLessThan(20 * 40);
});

const COUNT = `select coalesce(sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read), 0)::text as n
                 from pg_statio_user_tables where relname like 'inbox\\_items%'`;
