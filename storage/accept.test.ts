// Accepted means committed, once per key: batches that overlap, doubles inside a batch, keys that are used again.
import { create, fromBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Lane, NotificationSchema, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { systemClock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { testDatabase } from '../test/support/database.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { acceptBatch, type Entry, entryOf, trimIdempotencyKeys } from './accept.ts';
import { AcceptQueue } from './accept-queue.ts';
import type { Database } from './database.ts';

const NOW = systemClock.now();

function entry(
  key: string,
  more: { title?: string; users?: string[]; lane?: Lane; sendAtMs?: number } = {},
): Entry {
  const notification = create(NotificationSchema, {
    audience: { kind: { case: 'users', value: { ids: more.users ?? ['ada'] } } },
    content: { title: more.title ?? 'Hello' },
    lane: more.lane ?? Lane.UNSPECIFIED,
    ...(more.sendAtMs !== undefined && { sendAt: timestampFromMs(more.sendAtMs) }),
  });
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  return entryOf({ tenant: 'default', key, id: systemIds.uuid(), notification, traceparent }, NOW);
}

async function count(db: Database, table: string): Promise<number> {
  const { rows } = await db.query<{ n: number }>({ text: `select count(*)::int as n from ${table}` });
  return rows[0]?.n ?? -1;
}

test('a batch with doubles, a reused key and none at all', async () => {
  await using t = await testDatabase();
  const handoff = new RecordingHandoff();
  const [first, double, other, free, free2] = [
    entry('k'),
    entry('k'),
    entry('k', { title: 'Else' }),
    entry(''),
    entry(''),
  ];
  const outcomes = await acceptBatch(t.db, handoff, [first, double, other, free, free2]);
  expect(outcomes[0]).toEqual({ notificationId: first.id, duplicate: false });
  expect(outcomes[1]).toEqual({ notificationId: first.id, duplicate: true });
  expect(outcomes[2]).toMatchObject({ reason: 'IDEMPOTENCY_KEY_REUSED' });
  expect(outcomes[3]).toEqual({ notificationId: free.id, duplicate: false });
  expect(outcomes[4]).toEqual({ notificationId: free2.id, duplicate: false });
  expect(await count(t.db, 'notifications')).toBe(3);
  expect(await count(t.db, 'idempotency_keys')).toBe(1);
  expect(handoff.committed.map(({ value }) => fromBinary(RawRecordSchema, value).notificationId)).toEqual([
    first.id,
    free.id,
    free2.id,
  ]);

  const again = await acceptBatch(t.db, handoff, [entry('k', { title: 'Else' }), entry('k')]);
  expect(again[0]).toBeInstanceOf(CarillonError);
  expect(again[1]).toEqual({ notificationId: first.id, duplicate: true });
  expect(handoff.committed).toHaveLength(3);
});

test('the same request has the same bytes in whatever order its map came, another one has not', () => {
  const hashOf = (data: Record<string, string>) =>
    entryOf(
      {
        tenant: 'default',
        key: 'k',
        id: systemIds.uuid(),
        traceparent: undefined,
        notification: create(NotificationSchema, { content: { title: 't', data } }),
      },
      NOW,
    ).requestHash.toString('hex');
  expect(hashOf({ b: '2', a: '1' })).toBe(hashOf({ a: '1', b: '2' }));
  expect(hashOf({ b: '2', a: '1' })).not.toBe(hashOf({ a: '2', b: '1' }));
});

test('what is stored: the row as the schema says, the record by its topic, key and trace', async () => {
  await using t = await testDatabase();
  const handoff = new RecordingHandoff();
  const single = entry('a', { lane: Lane.CRITICAL });
  const many = entry('b', { users: ['ada', 'grace', 'ada'], lane: Lane.BULK });
  const later = entry('c', { sendAtMs: NOW + 3_600_000 });
  await acceptBatch(t.db, handoff, [single, many, later]);
  expect(handoff.committed.map(({ topic, key }) => ({ topic, key }))).toEqual([
    { topic: 'carillon.raw.critical', key: 'default\u001fada' },
    { topic: 'carillon.raw.bulk', key: many.id },
  ]);
  expect(handoff.committed[0]?.headers).toEqual({ traceparent: single.traceparent });
  const { rows } = await t.db.query<Record<string, unknown>>({
    text: `select id, lane, category, state, recipients, traceparent, payload,
                  extract(epoch from due_at - now())::float8 as due_in, extract(epoch from expires_at - due_at)::float8 as left_then
             from notifications order by array_position($1::uuid[], id)`,
    values: [[single.id, many.id, later.id]],
  });
  expect(rows[0]).toMatchObject({
    lane: Lane.CRITICAL,
    category: 'default',
    state: NotificationState.ACCEPTED,
    recipients: 1,
    traceparent: single.traceparent,
    payload: Buffer.from(single.payload),
  });
  expect(rows[1]).toMatchObject({ lane: Lane.BULK, recipients: 2 });
  expect(Number(rows[0]?.due_in) * 1_000).toBeGreaterThan(limits.reconcileAfterMs - 10_000);
  expect(rows[2]).toMatchObject({ state: NotificationState.SCHEDULED });
  expect(Number(rows[2]?.due_in)).toBeGreaterThan(3_500);
  expect(Number(rows[2]?.left_then) * 1_000).toBeCloseTo(limits.defaultTtlMs, -2);
});

test('batches that share keys, from many connections: one notification per key, no deadlock', async () => {
  await using t = await testDatabase({ connections: 8 });
  const handoff = new RecordingHandoff();
  const keys = Array.from({ length: 60 }, (_, index) => `key-${index}`);
  const winners = new Map<string, Set<string>>();
  let fresh = 0;
  await Promise.all(
    Array.from({ length: 40 }, async (_, round) => {
      const shuffled = keys.toSorted(
        (a, b) =>
          ((a.length * 7 + round * a.charCodeAt(4)) % 5) - ((b.length * 7 + round * b.charCodeAt(4)) % 5),
      );
      const outcomes = await acceptBatch(
        t.db,
        handoff,
        shuffled.map((key) => entry(key)),
      );
      for (const [index, outcome] of outcomes.entries()) {
        if (outcome instanceof CarillonError) throw outcome;
        const key = shuffled[index] ?? '';
        winners.set(key, (winners.get(key) ?? new Set()).add(outcome.notificationId));
        if (!outcome.duplicate) fresh++;
      }
    }),
  );
  expect(fresh).toBe(60);
  expect([...winners.values()].every((ids) => ids.size === 1)).toBe(true);
  expect(await count(t.db, 'notifications')).toBe(60);
  expect(handoff.committed).toHaveLength(60);
});

test('keys past their time are trimmed in batches, younger ones stay', async () => {
  await using t = await testDatabase();
  await acceptBatch(t.db, new RecordingHandoff(), [entry('old'), entry('young')]);
  await t.db.query({
    text: `update idempotency_keys set created_at = now() - $1 * interval '1 ms' where key = 'old'`,
    values: [limits.idempotencyKeptMs + 60_000],
  });
  expect(await trimIdempotencyKeys(t.db)).toBe(1);
  const { rows } = await t.db.query({ text: 'select key from idempotency_keys' });
  expect(rows).toEqual([{ key: 'young' }]);
});

test('the queue gathers one loop turn into one commit', async () => {
  await using t = await testDatabase();
  let commits = 0;
  const counted: Database = {
    ...t.db,
    transaction: (work) =>
      t.db.transaction((tx) => {
        commits++;
        return work(tx);
      }),
  };
  await using queue = new AcceptQueue({ database: counted, handoff: new RecordingHandoff() });
  const accepted = await Promise.all(
    Array.from({ length: 200 }, (_, index) => queue.accept(entry(`k${index}`))),
  );
  expect(new Set(accepted.map(({ notificationId }) => notificationId)).size).toBe(200);
  expect(commits).toBe(1);
  expect(queue.waiting).toBe(0);
});

test('a row that the database refuses does not take its neighbours with it', async () => {
  await using t = await testDatabase();
  await using queue = new AcceptQueue({ database: t.db, handoff: new RecordingHandoff() });
  const poison = { ...entry('bad'), category: 'nul \0 inside' };
  const outcomes = await Promise.allSettled(
    [entry('a'), entry('b'), poison, entry('c')].map((each) => queue.accept(each)),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  expect(await count(t.db, 'notifications')).toBe(3);
});

test('a full queue refuses bulk first, then normal, critical last; what had room is still stored', async () => {
  await using t = await testDatabase();
  await using queue = new AcceptQueue({ database: t.db, handoff: new RecordingHandoff() });
  const refusedAt = new Map<Lane, number>();
  const taken: Promise<unknown>[] = [];
  for (const lane of [Lane.BULK, Lane.NORMAL, Lane.CRITICAL]) {
    for (;;) {
      const before = queue.waiting;
      const attempt = queue.accept(entry('', { lane }));
      if (queue.waiting === before) {
        await expect(attempt).rejects.toMatchObject({
          reason: 'OVERLOADED',
          retryAfterMs: limits.overloadedRetryMs,
        });
        refusedAt.set(lane, before);
        break;
      }
      taken.push(attempt);
    }
    // Nothing has left the queue meanwhile: the rejection above took microtasks only.
  }
  expect(refusedAt.get(Lane.BULK)).toBe(limits.acceptQueueCount * 0.5);
  expect(refusedAt.get(Lane.NORMAL)).toBe(limits.acceptQueueCount * 0.8);
  expect(refusedAt.get(Lane.CRITICAL)).toBe(limits.acceptQueueCount);
  await Promise.all(taken);
  expect(await count(t.db, 'notifications')).toBe(limits.acceptQueueCount);
});

test('while the database hangs, those whose time is up are told, and nothing of theirs is stored later', async () => {
  const clock = new ManualClock();
  const stuck = Promise.withResolvers<never>();
  const database = { transaction: () => stuck.promise } as unknown as Database;
  const queue = new AcceptQueue({ database, handoff: new RecordingHandoff(), clock, commitsInFlight: 1 });
  const inFlight = queue.accept(entry('a'));
  await new Promise(setImmediate);
  const waiting = queue.accept(entry('b'), 2_000);
  clock.advance(3_000);
  await expect(waiting).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  expect(queue.waiting).toBe(1);
  stuck.reject(new CarillonError('STORE_UNAVAILABLE'));
  await expect(inFlight).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE' });
  await queue[Symbol.asyncDispose]();
  await expect(queue.accept(entry('c'))).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
});
