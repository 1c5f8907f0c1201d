// The windows in which a process can die between claim, call and record: nothing is forgotten, nobody else's row is changed.
import { describe, expect, it } from 'vitest';
import { Channel, Lane, DeliveryState as S } from '../gen/carillon/v1/notification_pb.ts';
import { systemIds } from '../runtime/ids.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertDelivery, seeAttempts, seeRow } from '../test/support/delivery-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { until } from '../test/support/until.ts';
import { type Attempt, begin, finish } from './attempts.ts';
import { callForward, claimDue, claimRows, earliestDueMs, release } from './claims.ts';
import type { Database } from './database.ts';
import type { DeliveryKey } from './delivery-row.ts';
import { replayDelivery } from './end-step.ts';
import { markInterrupted, settleAmbiguous } from './interrupted.ts';

const LEASE_MS = 60_000;
const share = { stepChannel: Channel.EMAIL, lane: Lane.NORMAL, now: null };
/** The same share, seen so much later. */
async function later(db: Database, ms: number) {
  const { rows } = await db.query<{ at: Date }>({
    text: `select now() + $1::float8 * interval '1 ms' as at`,
    values: [ms],
  });
  return { ...share, now: rows[0]!.at };
}
const attempt = (): Attempt => ({ id: systemIds.uuid(), provider: 'smtp', address: 'ada@example.org' });
const sentEnd = (id: string) => ({
  id,
  outcome: 'sent' as const,
  providerMessageId: 'm1',
  error: '',
});
const claim = async (db: Database, key: DeliveryKey) => (await claimRows(db, share, [key], LEASE_MS))[0];
const beginWith = (db: Database, row: Parameters<typeof begin>[1], one: Attempt) =>
  begin(db, row, { attempts: [one], ended: [], leaseMs: 120_000, now: null });

describe('a claim', () => {
  it('takes a fresh row before its due time, once, and brings what is needed to send it', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db, { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` });
    const row = await claim(t.db, key);
    expect(row).toMatchObject({ ...key, tenant: 'default', tries: 0, fence: 1, step: 0 });
    expect(row!.notification!.content.title).toBe('Hello');
    expect(row!.notification!.traceparent).toContain('00-aaaa');
    expect(await claim(t.db, key)).toBeUndefined();
    expect(await claimDue(t.db, share, 10, LEASE_MS)).toEqual([]);
  });

  it('does not take a row that waits for its retry, whatever records come again', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db);
    const row = await claim(t.db, key);
    await release(t.db, row!, 30_000, 'PROVIDERS_PAUSED', null);
    expect(await claim(t.db, key)).toBeUndefined();
    expect(await claimDue(t.db, await later(t.db, 31_000), 10, LEASE_MS)).toHaveLength(1);
  });

  it('is shared out: many workers on the same rows take each once', async () => {
    await using t = await testDatabase();
    const keys = await Promise.all(
      Array.from({ length: 30 }, (_, n) => insertDelivery(t.db, { user: `u${n}`, dueMs: -1 })),
    );
    const claims = await Promise.all([
      ...Array.from({ length: 4 }, () => claimRows(t.db, share, keys, LEASE_MS)),
      ...Array.from({ length: 4 }, () => claimDue(t.db, share, 10, LEASE_MS)),
    ]);
    const taken = claims.flat().map((row) => row.userId);
    expect(new Set(taken).size).toBe(taken.length);
    const rest = await claimDue(t.db, share, 100, LEASE_MS);
    expect(taken.length + rest.length).toBe(30);
  });

  it('that died gives the row to another after its lease', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db);
    const dead = await claim(t.db, key);
    expect(await earliestDueMs(t.db, share)).toBeGreaterThan(LEASE_MS - 5_000);
    const [taken] = await claimDue(t.db, await later(t.db, LEASE_MS + 1), 10, LEASE_MS);
    expect(taken).toMatchObject({ fence: 2, tries: 0 });
    expect(await beginWith(t.db, dead!, attempt())).toBe('lost');
    expect(await beginWith(t.db, taken!, attempt())).toBe('begun');
    expect((await seeAttempts(t.db, key)).length).toBe(1);
  });

  it('leaves rows for which there is no room to the due loop, at once', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db);
    await callForward(t.db, share, [key]);
    expect(await earliestDueMs(t.db, share)).toBe(0);
    expect(await claimDue(t.db, share, 10, LEASE_MS)).toHaveLength(1);
  });
});

describe('a call', () => {
  it('is stored before it is made, and ends the row', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db);
    const row = await claim(t.db, key);
    const one = attempt();
    expect(await beginWith(t.db, row!, one)).toBe('begun');
    expect(await seeRow(t.db, key)).toMatchObject({ state: S.SENDING, tries: 1, attempts: 1 });
    expect(await seeAttempts(t.db, key)).toMatchObject([{ id: one.id, outcome: 'sending' }]);
    const state = await finish(t.db, new RecordingHandoff(), row!, {
      move: { to: 'sent' },
      ends: [sentEnd(one.id)],
      now: null,
    });
    expect(state).toBe(S.SENT);
    expect(await seeRow(t.db, key)).toMatchObject({ state: S.SENT, dueAt: null, reason: '' });
    expect(await seeAttempts(t.db, key)).toMatchObject([{ outcome: 'sent' }]);
  });

  it('is not made for a notification that was cancelled or has expired meanwhile', async () => {
    await using t = await testDatabase();
    const cancelled = await insertDelivery(t.db);
    const row = await claim(t.db, cancelled);
    await t.db.query({
      text: 'update notifications set state = 5, due_at = null where id = $1',
      values: [cancelled.notificationId],
    });
    expect(await beginWith(t.db, row!, attempt())).toBe('cancelled');
    expect(await seeRow(t.db, cancelled)).toMatchObject({ state: S.CANCELLED, dueAt: null });
    expect(await seeAttempts(t.db, cancelled)).toEqual([]);

    const expired = await insertDelivery(t.db, { ttlMs: 0 });
    expect(await beginWith(t.db, (await claim(t.db, expired))!, attempt())).toBe('expired');
    expect(await seeRow(t.db, expired)).toMatchObject({ state: S.EXPIRED, dueAt: null });
  });

  it('and a cancel at the same moment: exactly one of them wins', async () => {
    await using t = await testDatabase();
    for (let n = 0; n < 20; n++) {
      const key = await insertDelivery(t.db, { user: `u${n}` });
      const row = await claim(t.db, key);
      const cancel = t.db.transaction(async (tx) => {
        await tx.query({
          text: 'select from notifications where id = $1 for update',
          values: [key.notificationId],
        });
        await tx.query({
          text: 'update notifications set state = 5, due_at = null where id = $1',
          values: [key.notificationId],
        });
        const { rowCount } = await tx.query({
          text: `update deliveries set state = ${S.CANCELLED}, due_at = null
                 where notification_id = $1 and state in (${S.QUEUED}, ${S.WAITING}, ${S.AMBIGUOUS})`,
          values: [key.notificationId],
        });
        return rowCount === 1;
      });
      const [cancelled, begun] = await Promise.all([cancel, beginWith(t.db, row!, attempt())]);
      expect(cancelled).toBe(begun !== 'begun');
    }
  });

  it('waits for a cancel that has not committed yet, and then is not made', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db);
    const row = await claim(t.db, key);
    const { begun } = await t.db.transaction(async (tx) => {
      await tx.query({
        text: 'select from notifications where id = $1 for update',
        values: [key.notificationId],
      });
      await tx.query({
        text: 'update notifications set state = 5, due_at = null where id = $1',
        values: [key.notificationId],
      });
      const waiting = beginWith(t.db, row!, attempt());
      let done = false;
      void waiting.then(() => {
        done = true;
      });
      await until('begin that waits or is done', async () => {
        const { rows } = await t.db.query<{ waits: boolean }>({
          text: `select exists (select from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock') as waits`,
        });
        return done || rows[0]!.waits ? true : undefined;
      });
      expect(done).toBe(false);
      return { begun: waiting };
    });
    expect(await begun).toBe('cancelled');
    expect(await seeRow(t.db, key)).toMatchObject({ state: S.CANCELLED });
  });

  it('that an ack overtook changes nothing of the row, and its outcome is kept', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db);
    const row = await claim(t.db, key);
    const one = attempt();
    await beginWith(t.db, row!, one);
    await t.db.query({
      text: `update deliveries set state = ${S.DELIVERED}, due_at = null where notification_id = $1`,
      values: [key.notificationId],
    });
    const state = await finish(t.db, new RecordingHandoff(), row!, {
      move: { to: 'retry', afterMs: 1, reason: 'x', counted: true },
      ends: [sentEnd(one.id)],
      now: null,
    });
    expect(state).toBeUndefined();
    expect(await seeRow(t.db, key)).toMatchObject({ state: S.DELIVERED, dueAt: null });
    expect(await seeAttempts(t.db, key)).toMatchObject([{ outcome: 'sent' }]);
  });

  it('that died becomes AMBIGUOUS after its lease, and whoever made it can change nothing any more', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db);
    const row = await claim(t.db, key);
    const one = attempt();
    await beginWith(t.db, row!, one);
    expect(await markInterrupted(t.db, share, { count: 10, waitMs: 60_000 })).toEqual({
      rows: 0,
      attempts: 0,
    });
    const then = await later(t.db, 121_000);
    expect(await markInterrupted(t.db, then, { count: 10, waitMs: 60_000 })).toEqual({
      rows: 1,
      attempts: 1,
    });
    expect(await seeRow(t.db, key)).toMatchObject({ state: S.AMBIGUOUS, fence: 2 });
    for (const move of [
      { to: 'sent' },
      { to: 'retry', afterMs: 1, reason: 'x', counted: true },
      { to: 'step', reason: 'x', otherwise: 'failed' },
    ] as const)
      expect(
        await finish(t.db, new RecordingHandoff(), row!, { move, ends: [sentEnd(one.id)], now: null }),
      ).toBeUndefined();
    expect(await seeRow(t.db, key)).toMatchObject({ state: S.AMBIGUOUS, fence: 2 });
    expect(await seeAttempts(t.db, key)).toMatchObject([{ outcome: 'ambiguous' }]);

    const settled = await later(t.db, 182_000);
    expect(await settleAmbiguous(t.db, then, { count: 10, settle: () => 'again' })).toEqual({
      again: 0,
      dead: 0,
    });
    expect(await settleAmbiguous(t.db, settled, { count: 10, settle: () => 'again' })).toEqual({
      again: 1,
      dead: 0,
    });
    const [again] = await claimDue(t.db, settled, 10, LEASE_MS);
    expect([...again!.ambiguousProviders]).toEqual(['smtp']);
    expect(again!.tries).toBe(1);
  });
});

describe('the end of a step', () => {
  const failed = { to: 'step', reason: 'smtp: 550 no such user', otherwise: 'failed' } as const;

  it('goes to the next one, with a record on its topic, free for anybody', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db, { channels: [Channel.PUSH, Channel.EMAIL] });
    const push = { ...share, stepChannel: Channel.PUSH };
    const [row] = await claimRows(t.db, push, [key], LEASE_MS);
    const one = attempt();
    await beginWith(t.db, row!, one);
    const handoff = new RecordingHandoff();
    const ends = [{ id: one.id, outcome: 'permanent' as const, providerMessageId: '', error: 'gone' }];
    expect(await finish(t.db, handoff, row!, { move: failed, ends, now: null })).toBe(S.QUEUED);
    expect(await seeRow(t.db, key)).toMatchObject({
      state: S.QUEUED,
      step: 1,
      stepChannel: Channel.EMAIL,
      tries: 0,
      held: false,
      attempts: 1,
    });
    expect(handoff.committed.map(({ topic }) => topic)).toEqual(['carillon.email.normal']);
    expect(await claim(t.db, key)).toMatchObject({ step: 1, tries: 0 });
  });

  it('is FAILED with the reason when nothing follows', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db);
    const row = await claim(t.db, key);
    await beginWith(t.db, row!, attempt());
    expect(await finish(t.db, new RecordingHandoff(), row!, { move: failed, ends: [], now: null })).toBe(
      S.FAILED,
    );
    expect(await seeRow(t.db, key)).toMatchObject({ state: S.FAILED, reason: failed.reason, dueAt: null });
  });

  it('is DEAD with a letter when the tries are used up, and a replay brings it back once', async () => {
    await using t = await testDatabase();
    const key = await insertDelivery(t.db);
    const row = await claim(t.db, key);
    await beginWith(t.db, row!, attempt());
    const move = { to: 'step', reason: 'smtp: 451 later', otherwise: 'dead' } as const;
    expect(await finish(t.db, new RecordingHandoff(), row!, { move, ends: [], now: null })).toBe(S.DEAD);
    const { rows } = await t.db.query<{ source: string; error: string; notification_id: string }>({
      text: 'select source, error, notification_id from dead_letters',
    });
    expect(rows).toEqual([
      { source: 'provider', error: 'smtp: 451 later', notification_id: key.notificationId },
    ]);
    const replay = () => t.db.transaction((tx) => replayDelivery(tx, key));
    expect((await replay())!.topic).toBe('carillon.email.normal');
    expect(await seeRow(t.db, key)).toMatchObject({ state: S.QUEUED, tries: 0 });
    expect(await replay()).toBeUndefined();
    expect(await claim(t.db, key)).toMatchObject({ tries: 0 });
  });
});
