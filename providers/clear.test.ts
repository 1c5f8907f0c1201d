// What was pushed for nothing is taken back: by the record of the ack or by the due time, in a few tries, and the store says how it ended.
import { describe, expect, it } from 'vitest';
import { Channel, DeliveryState as S } from '../gen/carillon/v1/notification_pb.ts';
import type { Tracing } from '../runtime/tracing.ts';
import { tracingOff } from '../runtime/tracing.ts';
import { acknowledge } from '../storage/acks.ts';
import type { DeliveryKey } from '../storage/delivery-row.ts';
import { listSandboxMessages } from '../storage/sandbox.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertUser } from '../test/support/delivery-rows.ts';
import { seedInbox } from '../test/support/inbox-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { until } from '../test/support/until.ts';
import type { Outcome } from './provider.ts';
import { sandboxProvider } from './sandbox.ts';
import { FakeProvider, type Opened, openWorker, recordOf } from './worker.fixture.ts';

const steps = [
  { channel: Channel.IN_APP, afterMs: 10_000, until: 'ack' },
  { channel: Channel.PUSH, afterMs: 0, until: 'ack' },
] as const;
const sent: Outcome = { kind: 'sent', messageId: 'm-1' };
const down: Outcome = { kind: 'down', reason: 'no answer' };

/** A provider of pushes whose clears come out as said. */
function clearing(...answers: Outcome[]) {
  const provider = new FakeProvider('pushes', () => sent, Channel.PUSH);
  const asked: string[] = [];
  provider.clear = ({ address, messageId }) => {
    asked.push(`${address.kind === 'device' ? address.token : ''} ${messageId}`);
    return Promise.resolve(answers.length > 1 ? answers.shift()! : answers[0]!);
  };
  return { provider, asked };
}

/** Ada's push has gone out to her device. */
async function pushed(w: Opened, traceparent?: string): Promise<DeliveryKey> {
  await insertUser(w.db, { tokens: ['token-1'] });
  const [id] = await seedInbox(w.db, {
    users: ['ada'],
    state: S.QUEUED,
    steps,
    step: 1,
    ...(traceparent !== undefined && { traceparent }),
  });
  const key = { notificationId: id!, userId: 'ada', channel: Channel.IN_APP };
  await w.log.push([recordOf(key, { stepChannel: Channel.PUSH })]);
  await w.reaches(key, S.SENT);
  return key;
}

const ack = (w: Opened, handoff: RecordingHandoff = w.handoff) =>
  acknowledge(w.db, handoff, [{ tenant: 'default', userId: 'ada', after: 0, upto: 1 }]);

/** How the clear of the only call has ended. The store's clock goes on while the worker's stands: it is moved until it is due. */
const ended = (w: Opened) => async () => {
  const { rows } = await w.db.query<{ outcome: string; error: string; due: boolean }>({
    text: `select a.clear_outcome as outcome, a.clear_error as error, d.clear_due_at is not null as due
             from delivery_attempts a join deliveries d using (notification_id, user_id, channel)`,
  });
  const [row] = rows;
  return row && row.outcome !== '' ? row : undefined;
};

describe('a push whose item was acknowledged afterwards', () => {
  it('is taken back when the record of the ack comes, under its trace', async () => {
    const { provider, asked } = clearing(sent);
    const spans: string[] = [];
    const tracing: Tracing = {
      ...tracingOff,
      span(name, options) {
        if (name === 'clear') spans.push(`${options?.parent}`);
        return tracingOff.span(name, options);
      },
    };
    await using w = await openWorker({ providers: [provider], tracing });
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await pushed(w, traceparent);
    await ack(w);
    expect(await w.passes(250, 'clear', ended(w))).toEqual({ outcome: 'cleared', error: '', due: false });
    expect(asked).toEqual(['token-1 m-1']);
    expect(spans).toEqual([traceparent]);
    expect(await w.metrics.expose()).toMatch(/carillon_clears_total\{[^}]*outcome="cleared"[^}]*\} 1/);
  });

  it('is taken back by its due time when the record was lost', async () => {
    const { provider, asked } = clearing(sent);
    await using w = await openWorker({ providers: [provider] });
    await pushed(w);
    await ack(w, new RecordingHandoff());
    expect(await w.passes(2_000, 'clear', ended(w))).toMatchObject({ outcome: 'cleared' });
    expect(asked).toHaveLength(1);
  });

  it('is taken back once, however often its record comes', async () => {
    const { provider, asked } = clearing(sent);
    await using w = await openWorker({ providers: [provider] });
    await pushed(w);
    await ack(w);
    await w.passes(250, 'clear', ended(w));
    await Promise.all([1, 2, 3].map(() => w.log.push(w.handoff.committed)));
    w.clock.advance(10_000);
    await w.worker.idle();
    expect(asked).toHaveLength(1);
  });

  it('is taken back right after the call in which the ack came', async () => {
    const gate = Promise.withResolvers<Outcome>();
    const { provider, asked } = clearing(sent);
    provider.answer = () => gate.promise;
    await using w = await openWorker({ providers: [provider] });
    await insertUser(w.db, { tokens: ['token-1'] });
    const [id] = await seedInbox(w.db, { users: ['ada'], state: S.QUEUED, steps, step: 1 });
    const key = { notificationId: id!, userId: 'ada', channel: Channel.IN_APP };
    await w.log.push([recordOf(key, { stepChannel: Channel.PUSH })]);
    await w.reaches(key, S.SENDING);
    await ack(w);
    expect(asked).toEqual([]);
    gate.resolve(sent);
    expect(await w.passes(250, 'clear', ended(w))).toMatchObject({ outcome: 'cleared' });
    expect(asked).toEqual(['token-1 m-1']);
  });

  it('lies in the sandbox as taken back', async () => {
    await using t = await testDatabase();
    const sandbox = sandboxProvider({ db: t.db, channel: Channel.PUSH });
    await using w = await openWorker({ providers: [sandbox] }, t);
    await pushed(w);
    await ack(w);
    await w.passes(250, 'clear', ended(w));
    const [kept] = await listSandboxMessages(t.db, { tenant: 'default', count: 10 });
    expect(kept?.clearedAtMs).toBeGreaterThanOrEqual(kept!.atMs);
  });
});

describe('a push that cannot be taken back', () => {
  it.each<[string, Outcome, string]>([
    ['the provider refuses', { kind: 'permanent', reason: 'no' }, 'refused'],
    ['the device has gone', { kind: 'permanent', reason: 'no', address: 'gone' }, 'gone'],
  ])('is left alone: %s', async (_name, outcome, expected) => {
    const { provider, asked } = clearing(outcome);
    await using w = await openWorker({ providers: [provider] });
    await pushed(w);
    await ack(w);
    expect(await w.passes(250, 'end', ended(w))).toMatchObject({
      outcome: expected,
      error: 'no',
      due: false,
    });
    expect(asked).toHaveLength(1);
  });

  it('is left alone where the provider cannot', async () => {
    const provider = new FakeProvider('pushes', () => sent, Channel.PUSH);
    await using w = await openWorker({ providers: [provider] });
    await pushed(w);
    await ack(w);
    expect(await w.passes(250, 'end', ended(w))).toMatchObject({ outcome: 'unsupported', due: false });
  });

  it('is left alone when the device was signed off meanwhile', async () => {
    const { provider, asked } = clearing(sent);
    await using w = await openWorker({ providers: [provider] });
    await pushed(w);
    await w.db.query({ text: 'delete from devices' });
    await ack(w);
    expect(await w.passes(250, 'end', ended(w))).toMatchObject({ outcome: 'gone' });
    expect(asked).toEqual([]);
  });

  it('is tried three times, further and further apart, and given up', async () => {
    const { provider, asked } = clearing(down);
    await using w = await openWorker({ providers: [provider], breaker: { failures: 100 } });
    await pushed(w);
    await ack(w);
    const tries = (count: number) => () => (asked.length === count ? true : undefined);
    /** In how many seconds the next try is due, once the last one is over. */
    const pause = (longest: number) =>
      until('end of the try', async () => {
        const { rows } = await w.db.query<{ s: number }>({
          text: 'select extract(epoch from clear_due_at - $1::timestamptz)::float8 as s from deliveries',
          values: [new Date(w.clock.now())],
        });
        return rows[0]!.s <= longest ? rows[0]!.s : undefined;
      });
    await w.passes(250, 'first try', tries(1));
    expect(await pause(5)).toBeGreaterThan(3);
    await w.passes(5_000, 'second try', tries(2));
    await w.passes(60_000, 'third try', tries(3));
    expect(await w.passes(0, 'end', ended(w))).toEqual({ outcome: 'failed', error: 'no answer', due: false });
    w.clock.advance(600_000);
    await w.worker.idle();
    expect(asked).toHaveLength(3);
  });

  it('is taken back once the provider is back', async () => {
    const { provider, asked } = clearing(down, { kind: 'unknown', reason: 'lost' }, sent);
    await using w = await openWorker({ providers: [provider], breaker: { failures: 1, openMs: 1_000 } });
    await pushed(w);
    await ack(w);
    expect(await w.passes(250, 'end', ended(w))).toMatchObject({ outcome: 'cleared', due: false });
    expect(asked).toHaveLength(3);
  });
});
