// When a provider does not do: another one, its breaker, and calls whose outcome nobody knows.
import { describe, expect, it } from 'vitest';
import { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import { Channel, Lane, DeliveryState as S } from '../gen/carillon/v1/notification_pb.ts';
import { listProviderReports } from '../storage/provider-reports.ts';
import { insertDelivery, insertUser, seeAttempts, seeRow } from '../test/support/delivery-rows.ts';
import { until } from '../test/support/until.ts';
import type { Message, Outcome } from './provider.ts';
import { FakeProvider, openWorker, recordOf } from './worker.fixture.ts';

const down: Outcome = { kind: 'down', reason: 'no answer' };
const sent: Outcome = { kind: 'sent', messageId: 'm' };
const unknown: Outcome = { kind: 'unknown', reason: 'the connection was lost' };
const dueInMs = (row: { dueAt: Date | null }, clock: { now(): number }) => row.dueAt!.getTime() - clock.now();

describe('another provider of the channel', () => {
  it.each<[string, Outcome, boolean]>([
    ['is asked at once when the first is down', down, true],
    ['is asked at once when the first defers the message', { kind: 'transient', reason: '451' }, true],
    ['is asked at once when the first is busy', { kind: 'throttled', retryAfterMs: 5_000 }, true],
    ['is asked when the first does not like us', { kind: 'permanent', reason: '5.7.1', policy: true }, true],
    [
      'is not asked when the address is at fault',
      { kind: 'permanent', reason: 'x', address: 'invalid' },
      false,
    ],
    ['is not asked when nobody knows whether it went out', unknown, false],
  ])('%s', async (_name, outcome, asked) => {
    const a = new FakeProvider('a', () => outcome);
    const b = new FakeProvider('b');
    await using w = await openWorker({ providers: [a, b] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    await until('end of the try', async () => {
      const { state } = await seeRow(w.db, key);
      return state === S.QUEUED || state === S.SENDING ? undefined : state;
    });
    expect(a.calls).toHaveLength(1);
    expect(b.calls).toHaveLength(asked ? 1 : 0);
    if (asked) {
      expect(await seeRow(w.db, key)).toMatchObject({ state: S.SENT, tries: 1, attempts: 2 });
      expect((await seeAttempts(w.db, key)).map((attempt) => attempt.provider)).toEqual(['a', 'b']);
    }
  });

  it('takes all while the breaker of the first is open, until one call finds that it works again', async () => {
    const a = new FakeProvider('a', () => down);
    const b = new FakeProvider('b');
    await using w = await openWorker({ providers: [a, b], breaker: { failures: 2, openMs: 10_000 } });
    await insertUser(w.db);
    const send = async () => {
      const key = await insertDelivery(w.db);
      await w.log.push([recordOf(key)]);
      await w.reaches(key, S.SENT);
    };
    for (let n = 0; n < 5; n++) await send();
    expect([a.calls.length, b.calls.length]).toEqual([2, 5]);
    await until('report', async () =>
      (await listProviderReports(w.db, 'default')).find(
        ({ provider, breaker }) => provider === 'a' && breaker === BreakerState.OPEN,
      ),
    );
    expect(await w.metrics.expose()).toMatch(/carillon_breaker_state\{provider="a"\} 2/);
    a.answer = () => sent;
    w.clock.advance(10_000);
    await send();
    await send();
    expect([a.calls.length, b.calls.length]).toEqual([4, 5]);
  });
});

describe('a push whose devices belong to different providers', () => {
  it('waits for the provider that is paused before it gives up', async () => {
    const kind = (token: string) => (message: Message['address']) =>
      message.kind === 'device' && message.token.startsWith(token);
    const ios = new FakeProvider(
      'ios',
      () => ({ kind: 'permanent', reason: 'gone', address: 'gone' }),
      Channel.PUSH,
    );
    const android = new FakeProvider('android', () => down, Channel.PUSH);
    ios.serves = kind('ios');
    android.serves = kind('android');
    await using w = await openWorker({ providers: [ios, android], breaker: { failures: 1, openMs: 10_000 } });
    await insertUser(w.db, { id: 'bob', tokens: ['android-1'] });
    const opener = await insertDelivery(w.db, { user: 'bob', channels: [Channel.PUSH] });
    await w.log.push([recordOf(opener)]);
    await until('open breaker', async () => ((await seeRow(w.db, opener)).tries === 1 ? true : undefined));
    android.answer = () => sent;
    await insertUser(w.db, { tokens: ['ios-1', 'android-2'] });
    const key = await insertDelivery(w.db, { channels: [Channel.PUSH] });
    await w.log.push([recordOf(key)]);
    const waiting = await until('wait', async () => {
      const row = await seeRow(w.db, key);
      return row.attempts === 1 && row.state === S.QUEUED ? row : undefined;
    });
    expect(waiting.tries).toBe(0);
    await w.passes(dueInMs(waiting, w.clock), 'sent', async () =>
      (await seeRow(w.db, key)).state === S.SENT ? true : undefined,
    );
    expect(ios.calls).toHaveLength(1);
  });
});

describe('an open breaker without another provider', () => {
  it('leaves rows QUEUED, without attempts or tries, until it lets them through', async () => {
    const a = new FakeProvider('a', () => down);
    await using w = await openWorker({
      providers: [a],
      breaker: { failures: 1, openMs: 10_000 },
      retryMs: [3_600_000],
    });
    await insertUser(w.db);
    const first = await insertDelivery(w.db);
    await w.log.push([recordOf(first)]);
    await until('failed try', async () => ((await seeRow(w.db, first)).tries === 1 ? true : undefined));
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    const waiting = await until('paused row', async () => {
      const row = await seeRow(w.db, key);
      return row.reason === 'PROVIDERS_PAUSED' ? row : undefined;
    });
    expect(waiting).toMatchObject({ state: S.QUEUED, tries: 0, attempts: 0 });
    expect(dueInMs(waiting, w.clock)).toBe(10_000);
    a.answer = () => sent;
    await w.passes(10_000, 'sent', async () =>
      (await seeRow(w.db, key)).state === S.SENT ? true : undefined,
    );
    expect(a.calls).toHaveLength(2);
  });
});

describe('a call whose outcome nobody knows', () => {
  const once = () => new FakeProvider('a', (_message, call) => (call === 1 ? unknown : sent));

  it('is made again at once for an OTP, by another provider if there is one', async () => {
    const a = once();
    const b = new FakeProvider('b');
    await using w = await openWorker({ providers: [a, b] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db, { lane: Lane.CRITICAL });
    await w.log.push([recordOf(key, { lane: Lane.CRITICAL })]);
    await w.passes(0, 'sent', async () => ((await seeRow(w.db, key)).state === S.SENT ? true : undefined));
    expect([a.calls.length, b.calls.length]).toEqual([1, 1]);
    expect((await seeAttempts(w.db, key)).map(({ outcome }) => outcome)).toEqual(['ambiguous', 'sent']);
    expect(await w.metrics.expose()).toMatch(/carillon_ambiguous_attempts_total 1/);
  });

  it('is AMBIGUOUS for a minute on the normal lane, then made again, and is dead after the last try', async () => {
    const a = once();
    await using w = await openWorker({ providers: [a], retryMs: [60_000] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    const row = await w.reaches(key, S.AMBIGUOUS);
    expect(row.reason).toContain('the connection was lost');
    expect(dueInMs(row, w.clock)).toBe(60_000);
    await w.passes(60_000, 'sent', async () =>
      (await seeRow(w.db, key)).state === S.SENT ? true : undefined,
    );
    a.answer = () => unknown;
    const other = await insertDelivery(w.db);
    await w.log.push([recordOf(other)]);
    await w.reaches(other, S.AMBIGUOUS);
    await w.passes(60_000, 'dead', async () =>
      (await seeRow(w.db, other)).state === S.DEAD ? true : undefined,
    );
    expect(a.calls).toHaveLength(4);
  });

  it('is left to a person on the bulk lane', async () => {
    const a = once();
    await using w = await openWorker({ providers: [a] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db, { lane: Lane.BULK });
    await w.log.push([recordOf(key, { lane: Lane.BULK })]);
    await w.reaches(key, S.AMBIGUOUS);
    await w.passes(60_000, 'dead', async () =>
      (await seeRow(w.db, key)).state === S.DEAD ? true : undefined,
    );
    expect(a.calls).toHaveLength(1);
    const { rows } = await w.db.query<{ error: string }>({ text: 'select error from dead_letters' });
    expect(rows[0]!.error).toContain('AMBIGUOUS');
  });

  it('is one that throws', async () => {
    const a = new FakeProvider('a', () => Promise.reject(new Error('bug')));
    await using w = await openWorker({ providers: [a] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    expect((await w.reaches(key, S.AMBIGUOUS)).reason).toBe('AMBIGUOUS: a: bug');
  });
});
