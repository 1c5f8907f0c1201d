// The event log's suite on PostgreSQL, and what only this adapter promises.
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { openDatabase } from '../storage/database.ts';
import { testDatabase } from '../test/support/database.ts';
import { eventLogContract } from './event-log.contract.ts';
import { Gathered } from './event-log.harness.ts';
import { PostgresEventLog, readSettings } from './event-log.postgres.ts';
import { PostgresHandoff } from './handoff.postgres.ts';
import { READ } from './log-consumer.postgres.ts';
import { LogRetention } from './log-retention.postgres.ts';
import { rawTopic } from './topics.ts';

eventLogContract('PostgreSQL', async () => {
  const t = await testDatabase();
  return {
    kind: 'postgres',
    url: t.url,
    open: () => new PostgresEventLog({ db: t.db, log: silentLog }),
    [Symbol.asyncDispose]: () => t[Symbol.asyncDispose](),
  };
});

const record = (topic: string, n: number) => ({
  topic,
  key: `key-${n}`,
  value: Buffer.from(`${n}`),
  headers: {},
});

test('a transaction that is rolled back appends nothing, and its offsets are given out again', async () => {
  await using t = await testDatabase();
  await using eventLog = new PostgresEventLog({ db: t.db, log: silentLog });
  await using handoff = new PostgresHandoff({ eventLog, log: silentLog });
  const topic = rawTopic(Lane.NORMAL);
  await expect(
    t.db.transaction(async (tx) => {
      await handoff.write(tx, [record(topic, 1)]);
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  const written = await t.db.transaction((tx) => handoff.write(tx, [record(topic, 1), record(topic, 2)]));
  const got = new Gathered();
  await using _ = await eventLog.subscribe({
    group: 'g',
    topics: [topic],
    onBatch: got.handler('a'),
    onPoison: () => Promise.resolve(),
  });
  written.committed();
  await got.until(() => got.count() === 2);
  const { rows } = await t.db.query<{ n: string }>({ text: 'select max("offset")::text n from log_records' });
  expect(Number(rows[0]?.n)).toBeLessThanOrEqual(1);
});

test('many transactions that append to the same partitions at once neither deadlock nor leave a gap', async () => {
  await using t = await testDatabase({ connections: 8 });
  await using eventLog = new PostgresEventLog({ db: t.db, log: silentLog });
  const topics = Array.from({ length: 3 }, () => `t.${randomUUID()}`);
  await eventLog.createTopics(topics);
  const got = new Gathered();
  await using _ = await eventLog.subscribe({
    group: 'g',
    topics,
    onBatch: got.handler('a'),
    onPoison: () => Promise.resolve(),
  });
  await Promise.all(
    Array.from({ length: 200 }, (_, n) =>
      eventLog.append(
        // Every transaction names the topics and keys in another order.
        Array.from({ length: 30 }, (_, i) => record(topics[(i + n) % 3] ?? '', (i * 7 + n) % 30)),
      ),
    ),
  );
  await got.until(() => got.count() === 6_000);
  const { rows } = await t.db.query<{ gaps: string }>({
    text: `select count(*) gaps from log_heads h where next_offset <>
      (select count(*) from log_records r where r.topic = h.topic and r.partition = h.partition)`,
  });
  expect(rows[0]?.gaps).toBe('0');
});

test('a process hears of appends by another one long before it would look for itself', async () => {
  await using t = await testDatabase();
  await using reading = new PostgresEventLog({ db: t.db, log: silentLog });
  await using writing = new PostgresEventLog({ db: t.db, log: silentLog });
  const topic = `t.${randomUUID()}`;
  const got = new Gathered();
  await using subscription = await reading.subscribe({
    group: 'g',
    topics: [topic],
    onBatch: got.handler('a'),
    onPoison: () => Promise.resolve(),
  });
  await subscription.ready();
  const startedMs = systemClock.monotonic();
  for (let n = 0; n < 20; n++) {
    await writing.append([record(topic, n)]);
    await got.until(() => got.count() === n + 1);
  }
  // Twenty polls would take 20 s.
  expect(systemClock.monotonic() - startedMs).toBeLessThan(8_000);
});

test('the backlog is what readers have not finished, and returns to nothing', async () => {
  await using t = await testDatabase();
  await using eventLog = new PostgresEventLog({ db: t.db, log: silentLog });
  const topic = rawTopic(Lane.BULK);
  await eventLog.createTopics([topic]);
  await using handoff = new PostgresHandoff({ eventLog, log: silentLog });
  (
    await t.db.transaction((tx) =>
      handoff.write(
        tx,
        [1, 2, 3].map((n) => record(topic, n)),
      ),
    )
  ).committed();
  await expect.poll(() => handoff.backlog().bytes, { timeout: 5_000 }).toBeGreaterThan(20);
  expect(handoff.backlog().oldestMs).toBeGreaterThanOrEqual(0);
  await using _ = await eventLog.subscribe({
    group: 'g',
    topics: [topic],
    onBatch: () => Promise.resolve(),
    onPoison: () => Promise.resolve(),
  });
  await expect.poll(() => handoff.backlog(), { timeout: 5_000 }).toEqual({ bytes: 0, oldestMs: 0 });
});

test('retention removes what every group has finished and nothing else', async () => {
  await using t = await testDatabase();
  await using eventLog = new PostgresEventLog({ db: t.db, log: silentLog });
  const topic = `t.${randomUUID()}`;
  await eventLog.createTopics([topic]);
  await eventLog.append(Array.from({ length: 50 }, (_, n) => record(topic, n)));
  const retention = new LogRetention({ db: t.db, log: silentLog });
  const left = async () =>
    (await t.db.query<{ n: number }>({ text: 'select count(*)::int n from log_records' })).rows[0]?.n;
  await retention.run();
  expect(await left()).toBe(50);
  for (const group of ['fast', 'slow']) {
    const got = new Gathered();
    const subscription = await eventLog.subscribe({
      group,
      topics: [topic],
      onBatch: got.handler('a'),
      onPoison: () => Promise.resolve(),
    });
    await got.until(() => got.count() === 50);
    await subscription[Symbol.asyncDispose]();
    if (group === 'slow') break;
    await t.db.query({
      text: `insert into log_cursors ("group", topic, partition) select 'slow', topic, partition from log_heads`,
    });
    await retention.run();
    expect(await left()).toBe(50);
  }
  await retention.run();
  expect(await left()).toBe(0);
  // What was removed is not missed: the next record is read, and the lag is nothing.
  const got = new Gathered();
  await using _ = await eventLog.subscribe({
    group: 'late',
    topics: [topic],
    onBatch: got.handler('a'),
    onPoison: () => Promise.resolve(),
  });
  await eventLog.append([record(topic, 7)]);
  await got.until(() => got.count() === 1);
});

test('reading looks at the records it returns, however the table has grown since the plan was made', async () => {
  await using t = await testDatabase();
  await using eventLog = new PostgresEventLog({ db: t.db, log: silentLog });
  await using reading = openDatabase({ url: t.url, connections: 1, settings: readSettings });
  await eventLog.append([record('small', 1)]);
  await t.db.query({ text: 'analyze log_records' });
  await reading.query({ text: `prepare plan (text[], smallint[], bigint[], integer) as ${READ}` });
  const execute = `execute plan ('{small,large}', '{1,2}', '{0,100}', 10)`;
  await reading.query({ text: execute });
  for (let n = 0; n < 20; n++)
    await eventLog.append(Array.from({ length: 1_000 }, (_, i) => record('large', i)));
  const { rows } = await reading.query<{ 'QUERY PLAN': { Plan: Record<string, number> }[] }>({
    text: `explain (analyze, buffers, format json) ${execute}`,
  });
  const plan = rows[0]?.['QUERY PLAN'][0]?.Plan ?? {};
  expect(plan['Actual Rows']).toBeGreaterThanOrEqual(10);
  expect((plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0)).toBeLessThan(40);
});
