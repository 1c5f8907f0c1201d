// Who has a partition of the PostgreSQL log, and that nobody else can move its position.
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { silentLog } from '../runtime/log.ts';
import { testDatabase } from '../test/support/database.ts';
import { Waitable } from './event-log.harness.ts';
import { PostgresEventLog } from './event-log.postgres.ts';
import type { Batch } from './event-log.ts';
import { claim, commit, join, leave, type Member, shareOut, survey } from './log-leases.postgres.ts';

const TOPIC = 't';
const wanted = Array.from({ length: 8 }, (_, partition) => ({ topic: TOPIC, partition }));

async function openGroup() {
  const t = await testDatabase();
  await using log = new PostgresEventLog({ db: t.db, log: silentLog });
  await log.createTopics([TOPIC]);
  for (const member of ['a', 'b']) await join(t.db, { group: 'g', member, topics: [TOPIC] });
  return t;
}

const runOut = (member: string) => ({
  text: `update log_members set lease_until = now() - interval '1 ms' where member = $1`,
  values: [member],
});

test('a partition is taken from nobody whose lease holds, and from everybody whose lease has run out', async () => {
  await using t = await openGroup();
  expect(await claim(t.db, 'g', 'a', wanted)).toHaveLength(8);
  expect(await claim(t.db, 'g', 'b', wanted)).toEqual([]);
  await t.db.query(runOut('a'));
  // A lease that has run out is still good as long as nobody has noticed.
  expect((await survey(t.db, ['a', 'b'], [TOPIC])).renewed).toEqual(new Set(['a', 'b']));
  expect(await claim(t.db, 'g', 'b', wanted)).toEqual([]);
  await t.db.query(runOut('a'));
  expect(await claim(t.db, 'g', 'b', wanted)).toHaveLength(8);
  expect((await survey(t.db, ['a', 'b'], [TOPIC])).renewed).toEqual(new Set(['b']));
});

test('the commit of a member that has lost its partition hits nothing', async () => {
  await using t = await openGroup();
  const [mine] = await claim(t.db, 'g', 'a', wanted.slice(0, 1));
  if (!mine) throw new Error('nothing was claimed');
  const finished = { group: 'g', topic: TOPIC, partition: 0, fence: mine.fence };
  expect(await commit(t.db, [{ ...finished, position: 5n }])).toHaveLength(1);
  await leave(t.db, 'g', 'a');
  const [theirs] = await claim(t.db, 'g', 'b', wanted.slice(0, 1));
  expect(theirs).toMatchObject({ position: 5n, fence: mine.fence + 1 });
  expect(await commit(t.db, [{ ...finished, position: 9n }])).toEqual([]);
  expect(await commit(t.db, [{ ...finished, position: 9n }], true)).toEqual([]);
  const { rows } = await t.db.query({ text: 'select position, owner from log_cursors where partition = 0' });
  expect(rows).toEqual([{ position: '5', owner: 'b' }]);
});

test('a position never goes back, and what was given back is free', async () => {
  await using t = await openGroup();
  const [mine] = await claim(t.db, 'g', 'a', wanted.slice(0, 1));
  const finished = { group: 'g', topic: TOPIC, partition: 0, fence: mine?.fence ?? 0 };
  await commit(t.db, [{ ...finished, position: 7n }]);
  await commit(t.db, [{ ...finished, position: 3n }], true);
  expect(await claim(t.db, 'g', 'b', wanted.slice(0, 1))).toMatchObject([{ position: 7n }]);
});

test('the batch in flight of a partition that was lost is told so by the next commit', async () => {
  await using t = await testDatabase();
  await using log = new PostgresEventLog({ db: t.db, log: silentLog });
  const topic = `t.${randomUUID()}`;
  class Batches extends Waitable {
    readonly seen: Batch[] = [];
    add(batch: Batch): void {
      this.seen.push(batch);
      this.changed();
    }
  }
  const batches = new Batches();
  const first = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  await using subscription = await log.subscribe({
    group: 'g',
    topics: [topic],
    async onBatch(batch) {
      batches.add(batch);
      if (batches.seen.length === 1) return await first.promise;
      batch.signal.addEventListener('abort', () => aborted.resolve());
      await aborted.promise;
      throw new Error('not mine any more');
    },
    onPoison: () => Promise.reject(new Error('no record is at fault')),
  });
  await subscription.ready();
  const record = { topic, key: 'k', value: Buffer.from('x'), headers: {} };
  await log.append([record]);
  await batches.until(() => batches.seen.length === 1);
  await log.append([record]);
  // Somebody whose lease holds has taken everything, as after a pause that this process has not noticed yet.
  await join(t.db, { group: 'g', member: 'thief', topics: [topic] });
  await t.db.query({ text: `update log_cursors set owner = 'thief', fence = fence + 1` });
  first.resolve();
  await aborted.promise;
  const { rows } = await t.db.query<{ n: string }>({ text: 'select max(position)::text n from log_cursors' });
  expect(rows[0]?.n).toBe('0');
});

test('partitions are shared out to all who read the topic, each to one, and evenly', () => {
  const member = (name: string, topics: string[], alive = true): Member => ({
    group: 'g',
    member: name,
    topics,
    alive,
  });
  const members = [
    member('a', ['x', 'y']),
    member('b', ['x']),
    member('c', ['x', 'y']),
    member('dead', ['x', 'y'], false),
    { ...member('other', ['x', 'y']), group: 'h' },
  ];
  for (const [topic, readers] of [
    ['x', ['a', 'b', 'c']],
    ['y', ['a', 'c']],
  ] as const) {
    const shares = readers.map((reader) => shareOut(members, 'g', [topic], reader));
    const all = shares.flat().map(({ partition }) => partition);
    expect(all.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    for (const share of shares) expect(share.length).toBeGreaterThanOrEqual(Math.floor(8 / readers.length));
  }
  expect(shareOut(members, 'g', ['y'], 'b')).toEqual([]);
  expect(shareOut(members, 'g', ['x'], 'dead')).toEqual([]);
});
