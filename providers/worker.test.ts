// From a record to a provider and on: mail, push, retries, lanes, and nothing called twice.
import { describe, expect, it } from 'vitest';
import { Channel, Lane, DeliveryState as S } from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { begin } from '../storage/attempts.ts';
import { claimRows, release } from '../storage/claims.ts';
import type { Database } from '../storage/database.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertDelivery, insertUser, seeAttempts, seeRow } from '../test/support/delivery-rows.ts';
import { until } from '../test/support/until.ts';
import type { Outcome } from './provider.ts';
import { FakeProvider, openWorker, recordOf } from './worker.fixture.ts';

const down: Outcome = { kind: 'down', reason: 'no answer' };
const sent: Outcome = { kind: 'sent', messageId: 'm' };
const dueInMs = (row: { dueAt: Date | null }, clock: { now(): number }) => row.dueAt!.getTime() - clock.now();

describe('workers', () => {
  it('end a row that expires while no provider can be called', async () => {
    const a = new FakeProvider('a', () => down);
    await using w = await openWorker({ providers: [a], breaker: { failures: 1, openMs: 3_600_000 } });
    await insertUser(w.db);
    const opens = await insertDelivery(w.db);
    await w.log.push([recordOf(opens)]);
    await until('open breaker', async () => ((await seeRow(w.db, opens)).tries === 1 ? true : undefined));
    const key = await insertDelivery(w.db, { ttlMs: -60_000 });
    await w.log.push([recordOf(key)]);
    expect(await w.reaches(key, S.EXPIRED)).toMatchObject({ dueAt: null, held: false, attempts: 0 });
    expect(await w.metrics.expose()).toMatch(/carillon_deliveries_total\{[^}]*state="EXPIRED"[^}]*\} 1/);
  });

  it('tell the store what became of a call as soon as it is back', async () => {
    await using t = await testDatabase();
    let away = 0;
    const db: Database = {
      ...t.db,
      query: (statement) =>
        statement.name === 'attempts-finish' && away-- > 0
          ? Promise.reject(new CarillonError('STORE_UNAVAILABLE'))
          : t.db.query(statement),
    };
    const a = new FakeProvider('a', () => {
      away = 3;
      return sent;
    });
    await using w = await openWorker({ providers: [a] }, { db });
    await insertUser(t.db);
    const key = await insertDelivery(t.db);
    await w.log.push([recordOf(key)]);
    await w.passes(0, 'sent', async () => ((await seeRow(t.db, key)).state === S.SENT ? true : undefined));
    expect(away).toBeLessThan(0);
    expect(a.calls).toHaveLength(1);
    expect(await seeAttempts(t.db, key)).toMatchObject([{ outcome: 'sent' }]);
  });

  it('on the same rows never call twice, whoever hears of a row and how often', async () => {
    await using t = await testDatabase();
    const [a, b] = [new FakeProvider('a'), new FakeProvider('a')];
    await using one = await openWorker({ providers: [a], node: 'one' }, t);
    await using two = await openWorker({ providers: [b], node: 'two' }, t);
    await insertUser(t.db);
    const keys = await Promise.all(
      Array.from({ length: 60 }, (_, n) => insertDelivery(t.db, { dueMs: n % 2 === 0 ? -1_000 : 45_000 })),
    );
    const records = keys.map((key) => recordOf(key));
    await Promise.all([one, two, one, two].map((w) => w.log.push(records)));
    one.clock.advance(2_000);
    two.clock.advance(2_000);
    for (const key of keys) await one.reaches(key, S.SENT);
    const called = [...a.calls, ...b.calls].map((message) => message.notificationId);
    expect(called.length).toBe(60);
    expect(new Set(called).size).toBe(60);
  });

  it('do not hold a partition while a provider is slow, nor more rows than they may', async () => {
    const gate = Promise.withResolvers<Outcome>();
    const a = new FakeProvider('a', () => gate.promise);
    await using w = await openWorker({ providers: [a], claimedCount: 3 });
    await insertUser(w.db);
    const keys = await Promise.all(Array.from({ length: 10 }, () => insertDelivery(w.db)));
    await w.log.push(keys.map((key) => recordOf(key)));
    await until('three calls', () => (a.calls.length === 3 ? true : undefined));
    const { rows } = await w.db.query<{ count: number }>({
      text: 'select count(*)::int from deliveries where fence > 0',
    });
    expect(rows[0]!.count).toBe(3);
    gate.resolve(sent);
    for (const key of keys) await w.reaches(key, S.SENT);
    expect(a.calls).toHaveLength(10);
  });

  it('keep the rows that wait for a slot as long as they live, and no longer', async () => {
    const gate = Promise.withResolvers<Outcome>();
    await using t = await testDatabase();
    const [a, b] = [new FakeProvider('a', () => gate.promise), new FakeProvider('a')];
    const alive = await openWorker({ providers: [a] }, t);
    await insertUser(t.db);
    const keys = await Promise.all(
      Array.from({ length: 9 }, () => insertDelivery(t.db, { lane: Lane.BULK })),
    );
    await alive.log.push(keys.map((key) => recordOf(key, { lane: Lane.BULK })));
    await until('full slots', () => (a.calls.length === 8 ? true : undefined));
    const waiting = keys.find(
      ({ notificationId }) => !a.calls.some((call) => call.notificationId === notificationId),
    )!;
    const leaseMs = limits.providerClaimLeaseMs;
    for (let ms = 0; ms < 2 * leaseMs; ms += limits.providerRenewMs) {
      alive.clock.advance(limits.providerRenewMs);
      await until('renewed claim', async () =>
        dueInMs(await seeRow(t.db, waiting), alive.clock) === leaseMs ? true : undefined,
      );
    }
    await using other = await openWorker(
      { providers: [b], clock: alive.clock, now: () => new Date(alive.clock.now()) },
      t,
    );
    alive.clock.advance(limits.providerRenewMs - 1);
    expect((await seeRow(t.db, waiting)).fence).toBe(1);
    // From now on nobody renews: what `other` sees is what a kill leaves.
    const later = () => new Date(alive.clock.now() + leaseMs);
    await using heir = await openWorker({ providers: [b], now: later }, t);
    await heir.reaches(waiting, S.SENT);
    expect(b.calls).toHaveLength(1);
    gate.resolve(sent);
    await alive[Symbol.asyncDispose]();
    expect([...a.calls, ...b.calls]).toHaveLength(9);
    await other.worker.idle();
  });

  it('that are alone take up at once what the one before them left', async () => {
    await using t = await testDatabase();
    await insertUser(t.db);
    const share = { stepChannel: Channel.EMAIL, lane: Lane.CRITICAL, now: null };
    const [claimed, called, retried] = await Promise.all(
      ['u1', 'u2', 'u3'].map(async (user) => {
        const key = await insertDelivery(t.db, { lane: Lane.CRITICAL });
        const [row] = await claimRows(t.db, share, [key], limits.providerClaimLeaseMs);
        return { key, row: row!, user };
      }),
    );
    const attempts = [{ id: systemIds.uuid(), provider: 'a', address: 'x' }];
    await begin(t.db, called!.row, { attempts, ended: [], leaseMs: 60_000, now: null });
    await release(t.db, retried!.row, 60_000, 'PROVIDERS_PAUSED', null);
    const a = new FakeProvider('a');
    await using w = await openWorker({ providers: [a], alone: true, now: () => null }, t);
    await w.passes(0, 'mails', async () => {
      const rows = await Promise.all([claimed!, called!].map(({ key }) => seeRow(t.db, key)));
      return rows.every(({ state }) => state === S.SENT) ? true : undefined;
    });
    expect(await seeAttempts(t.db, called!.key)).toMatchObject([
      { outcome: 'ambiguous' },
      { outcome: 'sent' },
    ]);
    expect(await seeRow(t.db, retried!.key)).toMatchObject({ state: S.QUEUED, fence: 1 });
    expect(a.calls).toHaveLength(2);
  });

  it('send an OTP while a bulk blast fills every slot of its own', async () => {
    const gate = Promise.withResolvers<Outcome>();
    const a = new FakeProvider('a', ({ lane }) => (lane === Lane.BULK ? gate.promise : sent));
    await using w = await openWorker({ providers: [a] });
    await insertUser(w.db);
    const bulk = await Promise.all(
      Array.from({ length: 40 }, () => insertDelivery(w.db, { lane: Lane.BULK })),
    );
    await w.log.push(bulk.map((key) => recordOf(key, { lane: Lane.BULK })));
    await until('full slots', () => (a.calls.length === 8 ? true : undefined));
    const otp = await insertDelivery(w.db, { lane: Lane.CRITICAL });
    await w.log.push([recordOf(otp, { lane: Lane.CRITICAL })]);
    await w.reaches(otp, S.SENT);
    expect(a.calls).toHaveLength(9);
    gate.resolve(sent);
    await w.worker.idle();
  });

  it('do not call for a row that is cancelled while it waits for its slot', async () => {
    const gate = Promise.withResolvers<Outcome>();
    const a = new FakeProvider('a', () => gate.promise);
    await using w = await openWorker({ providers: [a] });
    await insertUser(w.db);
    const first = await Promise.all(
      Array.from({ length: 8 }, () => insertDelivery(w.db, { lane: Lane.BULK })),
    );
    const key = await insertDelivery(w.db, { lane: Lane.BULK });
    await w.log.push([...first, key].map((one) => recordOf(one, { lane: Lane.BULK })));
    await until('full slots', () => (a.calls.length === 8 ? true : undefined));
    expect(await seeRow(w.db, key)).toMatchObject({ state: S.QUEUED, held: true });
    await w.db.query({
      text: 'update notifications set state = 5, due_at = null where id = $1',
      values: [key.notificationId],
    });
    gate.resolve(sent);
    await w.reaches(key, S.CANCELLED);
    expect(a.calls).toHaveLength(8);
  });

  it('that stop finish their calls and give back the rest', async () => {
    const gate = Promise.withResolvers<Outcome>();
    const a = new FakeProvider('a', () => gate.promise);
    await using t = await testDatabase();
    const w = await openWorker({ providers: [a] }, t);
    await insertUser(t.db);
    const keys = await Promise.all(
      Array.from({ length: 10 }, () => insertDelivery(t.db, { lane: Lane.BULK })),
    );
    await w.log.push(keys.map((key) => recordOf(key, { lane: Lane.BULK })));
    await until('full slots', () => (a.calls.length === 8 ? true : undefined));
    const stopped = w[Symbol.asyncDispose]();
    gate.resolve(sent);
    await stopped;
    const states = await Promise.all(keys.map((key) => seeRow(t.db, key)));
    expect(states.filter(({ state }) => state === S.SENT)).toHaveLength(8);
    const left = states.filter(({ state }) => state === S.QUEUED);
    expect(left).toHaveLength(2);
    for (const row of left) expect(row).toMatchObject({ held: false, attempts: 0 });
    expect(a.calls).toHaveLength(8);
  });

  it('take a provider that asks for patience at its word, without using up a try', async () => {
    const a = new FakeProvider('a', (_message, call) =>
      call === 1 ? { kind: 'throttled', retryAfterMs: 7_000 } : sent,
    );
    await using w = await openWorker({ providers: [a], retryMs: [] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    const row = await until('patience', async () => {
      const seen = await seeRow(w.db, key);
      return seen.attempts === 1 && seen.state === S.QUEUED ? seen : undefined;
    });
    expect(row.tries).toBe(0);
    expect(dueInMs(row, w.clock)).toBeGreaterThanOrEqual(7_000);
    await w.passes(dueInMs(row, w.clock), 'sent', async () =>
      (await seeRow(w.db, key)).state === S.SENT ? true : undefined,
    );
  });

  it('end a row whose notification is no longer kept', async () => {
    const a = new FakeProvider('a');
    await using w = await openWorker({ providers: [a] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    await w.db.query({ text: 'delete from notifications where id = $1', values: [key.notificationId] });
    await w.log.push([recordOf(key)]);
    expect((await w.reaches(key, S.FAILED)).reason).toContain('no longer kept');
    expect(a.calls).toHaveLength(0);
  });

  it('end a row whose notification expires while it waits', async () => {
    const a = new FakeProvider('a', () => down);
    await using w = await openWorker({ providers: [a], retryMs: [3_600_000] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db, { ttlMs: 30_000 });
    await w.log.push([recordOf(key)]);
    const row = await until('retry', async () => {
      const seen = await seeRow(w.db, key);
      return seen.tries === 1 && seen.state === S.QUEUED ? seen : undefined;
    });
    expect(dueInMs(row, w.clock)).toBeLessThanOrEqual(31_000);
    await w.passes(31_000, 'expired', async () =>
      (await seeRow(w.db, key)).state === S.EXPIRED ? true : undefined,
    );
    expect(a.calls).toHaveLength(1);
  });

  it('hand on the flow: the call stands below the record’s trace', async () => {
    const spans: { name: string; parent: string | undefined; own: string }[] = [];
    const span = (name: string, { parent }: { parent: string | undefined }) => {
      const own = `00-${'a'.repeat(32)}-${systemIds.uuid().replaceAll('-', '').slice(-16)}-01`;
      spans.push({ name, parent, own });
      return { traceparent: own, set: () => {}, fail: () => {}, end: () => {} };
    };
    const a = new FakeProvider('a');
    await using w = await openWorker({
      providers: [a],
      tracing: { root: span, span, flush: async () => {}, [Symbol.asyncDispose]: async () => {} },
    });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await w.log.push([recordOf(key, { traceparent })]);
    await w.reaches(key, S.SENT);
    const [wait, attempt, call] = spans;
    expect([wait?.name, attempt?.name, call?.name]).toEqual(['log wait', 'attempt', 'provider call']);
    expect([wait?.parent, attempt?.parent]).toEqual([traceparent, wait?.own]);
    expect(call?.parent).toBe(attempt?.own);
    expect(a.calls[0]!.traceparent).toBe(call?.own);
  });
});
