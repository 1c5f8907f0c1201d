// What is committed with a transaction reaches the log, in order per key, whatever the log or the process does meanwhile.
import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { noSpan, type SpanOptions, tracingOff } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import { listDeadLetters } from '../storage/dead-letters.ts';
import { testDatabase } from '../test/support/database.ts';
import { Waitable } from './event-log.harness.ts';
import type { Handoff, LogRecord } from './event-log.ts';
import { OutboxHandoff } from './handoff.outbox.ts';
import { rawTopic } from './topics.ts';

/** A log whose answer the test holds in its hand. */
class HeldLog extends Waitable {
  readonly records: LogRecord[] = [];
  appends = 0;
  answer: () => Promise<void> = () => Promise.resolve();
  refused: (record: LogRecord) => boolean = () => false;

  async append(records: readonly LogRecord[]): Promise<void> {
    this.appends++;
    this.changed();
    await this.answer();
    await setImmediate();
    if (records.some(this.refused)) throw new Error('the log refuses this record');
    this.records.push(...records);
    this.changed();
  }

  texts(key?: string): string[] {
    return this.records
      .filter((record) => key === undefined || record.key === key)
      .map(({ value }) => Buffer.from(value).toString());
  }
}

const away = () => Promise.reject(new CarillonError('LOG_UNAVAILABLE'));
const record = (
  n: number,
  {
    key = 'k',
    lane = Lane.NORMAL,
    headers = {},
  }: { key?: string; lane?: Lane; headers?: Record<string, string> } = {},
): LogRecord => ({
  topic: rawTopic(lane),
  key,
  value: Buffer.from(`${n}`),
  headers,
});
const upTo = (count: number) => Array.from({ length: count }, (_, index) => `${index}`);

async function send(db: Database, handoff: Handoff, records: readonly LogRecord[]): Promise<void> {
  const written = await db.transaction((tx) => handoff.write(tx, records));
  written.committed();
}

async function waiting(db: Database): Promise<number> {
  const { rows } = await db.query<{ n: number }>({ text: 'select count(*)::integer n from outbox' });
  return rows[0]?.n ?? -1;
}

test('records are published after the commit, in order, and their rows are removed', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  await using handoff = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  for (let n = 0; n < 50; n++)
    await send(t.db, handoff, [record(n), record(n, { key: 'otp', lane: Lane.CRITICAL })]);
  await log.until(() => log.records.length === 100);
  expect(log.texts('k')).toEqual(upTo(50));
  expect(log.texts('otp')).toEqual(upTo(50));
  await expect.poll(() => waiting(t.db)).toBe(0);
});

test('when the log is back, nothing overtakes what an open transaction wrote for the sweep', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  await using handoff = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  log.answer = away;
  await send(t.db, handoff, [record(0)]);
  const isLeased = async () => {
    const [written, leased] = await t.db.transaction(async (tx) => {
      const probe = await handoff.write(tx, [record(9, { key: 'probe' })]);
      const { rows } = await tx.query<{ leased: boolean }>({
        text: `select lease_until > now() as leased from outbox where key = 'probe'`,
      });
      await tx.query({ text: `delete from outbox where key = 'probe'` });
      return [probe, rows[0]?.leased];
    });
    written.committed();
    return leased;
  };
  // The process has noticed: what is written now is written for the sweep.
  await expect.poll(isLeased, { timeout: 5_000 }).toBe(false);
  const open = Promise.withResolvers<void>();
  const wrote = Promise.withResolvers<void>();
  const older = t.db.transaction(async (tx) => {
    const written = await handoff.write(tx, [record(1)]);
    wrote.resolve();
    await open.promise;
    return written;
  });
  await wrote.promise;
  log.answer = () => Promise.resolve();
  await log.until(() => log.texts('k').length === 1);
  // The sweep finds nothing more; the next write is leased again, but has to wait.
  await expect.poll(isLeased, { timeout: 5_000 }).toBe(true);
  await send(t.db, handoff, [record(2)]);
  open.resolve();
  (await older).committed();
  await log.until(() => log.texts('k').length >= 3);
  expect([...new Set(log.texts('k'))]).toEqual(upTo(3));
});

test('a transaction that is rolled back publishes nothing', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  await using handoff = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  const failing = t.db.transaction(async (tx) => {
    await handoff.write(tx, [record(1)]);
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  await send(t.db, handoff, [record(2)]);
  await log.until(() => log.records.length === 1);
  expect(log.texts()).toEqual(['2']);
  expect(log.appends).toBe(1);
});

test('while the log is away the table grows and nothing else; once it is back all comes, in order', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  await using handoff = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  for (let n = 0; n < 5; n++) await send(t.db, handoff, [record(n)]);
  await log.until(() => log.records.length === 5);
  log.answer = away;
  for (let n = 5; n < 1_500; n++) {
    if (n % 100 === 0) await setImmediate();
    await send(t.db, handoff, [record(n), record(n, { key: 'other' })]);
  }
  expect(await waiting(t.db)).toBe(2_990);
  await expect.poll(() => handoff.backlog().bytes, { timeout: 5_000 }).toBeGreaterThan(2_000 * 200);
  expect(handoff.backlog().oldestMs).toBeGreaterThan(0);
  const tries = log.appends;
  expect(tries).toBeLessThan(30);
  log.answer = () => Promise.resolve();
  for (let n = 1_500; n < 1_600; n++) await send(t.db, handoff, [record(n), record(n, { key: 'other' })]);
  await log.until(() => new Set(log.texts('k')).size === 1_600 && new Set(log.texts('other')).size === 1_595);
  expect([...new Set(log.texts('k'))]).toEqual(upTo(1_600));
  expect([...new Set(log.texts('other'))]).toEqual(upTo(1_600).slice(5));
  await expect.poll(() => waiting(t.db), { timeout: 5_000 }).toBe(0);
  await expect.poll(() => handoff.backlog(), { timeout: 5_000 }).toEqual({ bytes: 0, oldestMs: 0 });
  // And the direct way is open again: what is written now is leased to its process.
  await expect
    .poll(
      () =>
        t.db.transaction(async (tx) => {
          await handoff.write(tx, [record(9_999, { key: 'uncommitted' })]);
          const { rows } = await tx.query<{ leased: boolean }>({
            text: `select lease_until > now() as leased from outbox where key = 'uncommitted'`,
          });
          await tx.query({ text: `delete from outbox where key = 'uncommitted'` });
          return rows[0]?.leased;
        }),
      { timeout: 5_000 },
    )
    .toBe(true);
});

test('what a process left behind is published by another one when the lease has run out', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  {
    // The process dies between its commit and the publication: nobody calls `committed`.
    await using dying = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
    await t.db.transaction((tx) =>
      dying.write(
        tx,
        [0, 1, 2].map((n) => record(n)),
      ),
    );
  }
  await using other = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  // It has looked, and left alone what is still leased.
  await expect.poll(() => other.backlog().bytes, { timeout: 5_000 }).toBeGreaterThan(0);
  expect(log.appends).toBe(0);
  await t.db.query({ text: `update outbox set lease_until = now() - interval '1 ms'` });
  await log.until(() => log.records.length === 3);
  expect(log.texts()).toEqual(['0', '1', '2']);
  await expect.poll(() => waiting(t.db)).toBe(0);
});

test('several processes sweep without doubling a record or mixing up a key', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  {
    await using dying = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
    for (let from = 0; from < 3_000; from += 500)
      await t.db.transaction((tx) =>
        dying.write(
          tx,
          Array.from({ length: 500 }, (_, i) => record(from + i, { key: `k${(from + i) % 7}` })),
        ),
      );
  }
  await t.db.query({ text: `update outbox set lease_until = now() - interval '1 ms'` });
  await using a = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  await using b = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  await using c = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  await log.until(() => log.records.length >= 3_000);
  await expect.poll(() => waiting(t.db), { timeout: 5_000 }).toBe(0);
  expect(log.records.length).toBe(3_000);
  for (let key = 0; key < 7; key++)
    expect(log.texts(`k${key}`)).toEqual(upTo(3_000).filter((n) => Number(n) % 7 === key));
  expect([a, b, c]).toHaveLength(3);
});

test('memory is bounded: what does not fit is left to the sweep', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  const held = Promise.withResolvers<void>();
  log.answer = () => held.promise;
  await using handoff = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  const total = limits.outboxQueueRecords + 5_000;
  for (let from = 0; from < total; from += 2_500)
    await send(
      t.db,
      handoff,
      Array.from({ length: 2_500 }, (_, i) => record(from + i)),
    );
  held.resolve();
  await log.until(() => new Set(log.texts()).size === total);
  expect([...new Set(log.texts())].findIndex((text, n) => text !== `${n}`)).toBe(-1);
  await expect.poll(() => waiting(t.db), { timeout: 10_000 }).toBe(0);
});

test('a lane whose records are not taken does not hold another one up', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  const held = Promise.withResolvers<void>();
  const append = log.append.bind(log);
  const eventLog = {
    append: async (records: readonly LogRecord[]) => {
      if (records[0]?.topic === rawTopic(Lane.BULK)) await held.promise;
      await append(records);
    },
  };
  await using handoff = new OutboxHandoff({ db: t.db, eventLog, log: silentLog });
  await send(t.db, handoff, [record(1, { lane: Lane.BULK })]);
  await send(t.db, handoff, [record(2, { lane: Lane.CRITICAL })]);
  await log.until(() => log.records.length === 1);
  expect(log.texts()).toEqual(['2']);
  held.resolve();
  await log.until(() => log.records.length === 2);
});

test('a record that the log refuses for good becomes a dead letter, the others go through', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  log.refused = ({ value }) => Buffer.from(value).toString() === '3';
  await using handoff = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog });
  await send(
    t.db,
    handoff,
    Array.from({ length: 6 }, (_, n) => record(n)),
  );
  await log.until(() => log.records.length === 5);
  expect(log.texts()).toEqual(['0', '1', '2', '4', '5']);
  await expect.poll(() => waiting(t.db)).toBe(0);
  const { letters } = await listDeadLetters(t.db, 'default', { pageSize: 10, pageToken: '' });
  expect(letters).toMatchObject([
    { source: rawTopic(Lane.NORMAL), error: 'Error: the log refuses this record' },
  ]);
});

test('the wait in the outbox is a span of the record\u2019s flow, when that is sampled', async () => {
  await using t = await testDatabase();
  const log = new HeldLog();
  const spans: [string, SpanOptions][] = [];
  const tracing = {
    ...tracingOff,
    span: (name: string, options: SpanOptions) => {
      spans.push([name, options]);
      return noSpan(options.parent);
    },
  };
  await using handoff = new OutboxHandoff({ db: t.db, eventLog: log, log: silentLog, tracing });
  const sampled = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const beforeMs = systemClock.now();
  await send(t.db, handoff, [
    record(1, { headers: { traceparent: sampled } }),
    record(2, { headers: { traceparent: sampled.replace(/1$/, '0') } }),
    record(3),
  ]);
  await log.until(() => log.records.length === 3);
  await expect.poll(() => spans.length).toBe(1);
  expect(spans[0]).toMatchObject(['outbox wait', { parent: sampled, kind: 'producer' }]);
  expect(spans[0]?.[1].startMs).toBeGreaterThanOrEqual(beforeMs);
});
