// What would have stopped a push takes it back: which reports clear which rows, when, and that nobody forgets or repeats it.
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Channel, DeliveryState, DeliveryStateSchema, Lane } from '../gen/carillon/v1/notification_pb.ts';
import { systemIds } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertDelivery } from '../test/support/delivery-rows.ts';
import { deliveriesOf, seedInbox } from '../test/support/inbox-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { acknowledge } from './acks.ts';
import { begin, finish } from './attempts.ts';
import { claimRows } from './claims.ts';
import { earliestClearMs, finishClear, hastenClear, takeClears } from './clears.ts';
import type { Database } from './database.ts';
import type { DeliveryKey, Step } from './delivery-row.ts';
import { type MarkKind, markInbox } from './inbox-marks.ts';

const S = DeliveryState;
const share = { stepChannel: Channel.PUSH, lane: Lane.NORMAL, now: null };
const ada = { tenant: 'default', userId: 'ada' };
const inAppThenPush = (until: 'ack' | 'read' = 'ack'): Step[] => [
  { channel: Channel.IN_APP, afterMs: 10_000, until },
  { channel: Channel.PUSH, afterMs: 0, until: 'ack' },
];

/** Ada's item, whose row has gone on to the push. */
async function onPush(db: Database, steps = inAppThenPush()): Promise<DeliveryKey> {
  const [id] = await seedInbox(db, { users: ['ada'], state: S.QUEUED, steps, step: 1 });
  return { notificationId: id!, userId: 'ada', channel: Channel.IN_APP };
}

/** Begins a call to one device; returns how it ends. */
async function call(db: Database, key: DeliveryKey) {
  const [row] = await claimRows(db, share, [key], 15_000);
  const id = systemIds.uuid();
  const attempts = [{ id, provider: 'sandbox', address: 'token-1' }];
  expect(await begin(db, row!, { attempts, ended: [], leaseMs: 60_000, now: null })).toBe('begun');
  return {
    id,
    end: (outcome: 'sent' | 'transient') =>
      finish(db, new RecordingHandoff(), row!, {
        move:
          outcome === 'sent' ? { to: 'sent' } : { to: 'retry', afterMs: 1_000, reason: 'x', counted: true },
        ends: [{ id, outcome, providerMessageId: outcome === 'sent' ? 'm-1' : '', error: '' }],
        now: null,
      }),
  };
}

async function pushed(db: Database, key: DeliveryKey): Promise<string> {
  const { id, end } = await call(db, key);
  expect(await end('sent')).toBe(S.SENT);
  return id;
}

const ack = (db: Database, handoff = new RecordingHandoff()) =>
  acknowledge(db, handoff, [{ ...ada, after: 0, upto: 100 }]);
const mark = (db: Database, kind: MarkKind, key: DeliveryKey, handoff = new RecordingHandoff()) =>
  markInbox(db, handoff, { ...ada, kind, what: { notificationIds: [key.notificationId] } });
const take = (db: Database, count = 10) => takeClears(db, share, count);

describe('an ack', () => {
  it('that comes after the push has the push taken back, and its record wakes a worker', async () => {
    await using t = await testDatabase();
    const key = await onPush(t.db);
    const id = await pushed(t.db, key);
    const handoff = new RecordingHandoff();
    expect(await ack(t.db, handoff)).toMatchObject([{ first: true, seq: 1 }]);
    expect(handoff.committed.map(({ topic, key: of }) => [topic, of])).toEqual([
      ['carillon.push.normal', 'default\u001fada'],
    ]);
    expect(fromBinary(ChannelRecordSchema, handoff.committed[0]!.value)).toMatchObject({
      notificationId: key.notificationId,
      userId: 'ada',
      planChannel: Channel.IN_APP,
      clear: true,
    });
    expect(await earliestClearMs(t.db, share)).toBe(0);
    const [taken] = await take(t.db);
    expect(taken).toMatchObject({
      ...key,
      tries: 1,
      calls: [{ attemptId: id, provider: 'sandbox', address: 'token-1', providerMessageId: 'm-1' }],
    });
    expect(await deliveriesOf(t.db, key.notificationId)).toMatchObject([{ state: S.DELIVERED, due: false }]);
  });

  it('stands when its record cannot be written: the time in the row brings the push back', async () => {
    await using t = await testDatabase();
    const key = await onPush(t.db);
    await pushed(t.db, key);
    const handoff = new RecordingHandoff();
    handoff.write = () => Promise.reject(new Error('the log is away'));
    expect(await ack(t.db, handoff)).toMatchObject([{ first: true, seq: 1 }]);
    expect(await take(t.db)).toMatchObject([{ ...key, calls: [{ address: 'token-1' }] }]);
  });

  it('that comes before the push went out cancels it, and there is nothing to take back', async () => {
    await using t = await testDatabase();
    const key = await onPush(t.db);
    const handoff = new RecordingHandoff();
    await ack(t.db, handoff);
    expect(await claimRows(t.db, share, [key], 15_000)).toEqual([]);
    expect(handoff.committed).toEqual([]);
    expect(await earliestClearMs(t.db, share)).toBeUndefined();
  });

  it('that comes while the push is being sent has it taken back when the call is over', async () => {
    await using t = await testDatabase();
    const key = await onPush(t.db);
    const { end } = await call(t.db, key);
    await ack(t.db);
    expect(await take(t.db)).toEqual([]);
    expect(await earliestClearMs(t.db, share)).toBeGreaterThan(50_000);
    expect(await end('sent')).toBeUndefined();
    expect(await hastenClear(t.db, key, null)).toBe(true);
    expect(await take(t.db)).toMatchObject([{ calls: [{ providerMessageId: 'm-1' }] }]);
  });

  it('that came while a push failed leaves nothing to take back', async () => {
    await using t = await testDatabase();
    const key = await onPush(t.db);
    const { end } = await call(t.db, key);
    await ack(t.db);
    expect(await end('transient')).toBeUndefined();
    await hastenClear(t.db, key, null);
    const [taken] = await take(t.db);
    expect(taken).toMatchObject({ calls: [] });
    await finishClear(t.db, taken!, [], undefined, null);
    expect(await earliestClearMs(t.db, share)).toBeUndefined();
  });

  it('leaves a push that went out because nobody read it; a read takes it back', async () => {
    await using t = await testDatabase();
    const key = await onPush(t.db, inAppThenPush('read'));
    await pushed(t.db, key);
    await ack(t.db);
    expect(await take(t.db)).toEqual([]);
    const handoff = new RecordingHandoff();
    await mark(t.db, 'read', key, handoff);
    expect(await take(t.db)).toMatchObject([{ ...key, calls: [{ address: 'token-1' }] }]);
    expect(handoff.committed).toHaveLength(1);
  });

  it('is not asked twice for the same push, whatever is reported after it', async () => {
    await using t = await testDatabase();
    const key = await onPush(t.db);
    const id = await pushed(t.db, key);
    await ack(t.db);
    const [taken] = await take(t.db);
    await finishClear(t.db, taken!, [{ attemptId: id, outcome: 'cleared', error: '' }], undefined, null);
    const handoff = new RecordingHandoff();
    await ack(t.db, handoff);
    await mark(t.db, 'read', key, handoff);
    expect(handoff.committed).toEqual([]);
    expect(await earliestClearMs(t.db, share)).toBeUndefined();
    expect(await deliveriesOf(t.db, key.notificationId)).toMatchObject([{ state: S.OPENED }]);
  });
});

describe('a notification that asked for several channels at once', () => {
  const beside = async (db: Database, channel: Channel, notificationId: string): Promise<DeliveryKey> => {
    const other = await insertDelivery(db, { channels: [channel] });
    await db.query({
      text: 'update deliveries set notification_id = $2 where notification_id = $1',
      values: [other.notificationId, notificationId],
    });
    return { ...other, notificationId };
  };
  const open = async (db: Database) => {
    const [id] = await seedInbox(db, { users: ['ada'] });
    const item = { notificationId: id!, userId: 'ada', channel: Channel.IN_APP };
    return {
      item,
      push: await beside(db, Channel.PUSH, id!),
      mail: await beside(db, Channel.EMAIL, id!),
      states: async () =>
        (await deliveriesOf(db, id!)).map(({ state, reason }) =>
          `${DeliveryStateSchema.value[state]?.localName} ${reason}`.trim(),
        ),
    };
  };

  it('gets all of them, also when the app has acknowledged its item', async () => {
    await using t = await testDatabase();
    const { states } = await open(t.db);
    await ack(t.db);
    expect(await states()).toEqual(['DELIVERED', 'QUEUED', 'QUEUED']);
  });

  it.each<MarkKind>(['read', 'archived'])(
    'gets no push any more once its item is %s, but its mail',
    async (kind) => {
      await using t = await testDatabase();
      const { item, push, states } = await open(t.db);
      expect((await mark(t.db, kind, item)).reported).toHaveLength(1);
      const done = kind === 'read' ? 'OPENED' : 'DELIVERED';
      expect(await states()).toEqual([done, 'CANCELLED IN_APP', 'QUEUED']);
      expect(await claimRows(t.db, share, [push], 15_000)).toEqual([]);
      expect(await earliestClearMs(t.db, share)).toBeUndefined();
    },
  );

  it('has its push taken back once the item is read', async () => {
    await using t = await testDatabase();
    const { item, push, states } = await open(t.db);
    await pushed(t.db, push);
    await mark(t.db, 'seen', item);
    expect(await take(t.db)).toEqual([]);
    await mark(t.db, 'read', item);
    expect(await states()).toEqual(['OPENED', 'OPENED IN_APP', 'QUEUED']);
    expect(await take(t.db)).toMatchObject([{ ...push, calls: [{ address: 'token-1' }] }]);
  });
});

describe('rows that are to be cleared', () => {
  const due = async (db: Database) => {
    const key = await onPush(db);
    const id = await pushed(db, key);
    await ack(db);
    return { key, id };
  };

  it('are shared out, and come back when who took them died', async () => {
    await using t = await testDatabase({ connections: 4 });
    for (let n = 0; n < 6; n++) await pushed(t.db, await onPush(t.db));
    await ack(t.db);
    const taken = (await Promise.all([take(t.db, 2), take(t.db, 2), take(t.db)])).flat();
    expect(taken).toHaveLength(6);
    expect(new Set(taken.map(({ notificationId }) => notificationId)).size).toBe(6);
    expect(await take(t.db)).toEqual([]);
    await t.db.query({
      text: `update deliveries set clear_due_at = clear_due_at - $1::int * interval '1 ms'`,
      values: [limits.clearLeaseMs],
    });
    expect((await take(t.db)).map(({ tries }) => tries)).toEqual(Array(6).fill(2));
  });

  it('are the last taker’s: a zombie moves no time, though what came of its call stays', async () => {
    await using t = await testDatabase();
    const { id } = await due(t.db);
    const [zombie] = await take(t.db);
    await t.db.query({ text: 'update deliveries set clear_due_at = now()' });
    const [second] = await take(t.db);
    await finishClear(t.db, zombie!, [{ attemptId: id, outcome: 'cleared', error: '' }], undefined, null);
    expect(await earliestClearMs(t.db, share)).toBeGreaterThan(0);
    await finishClear(t.db, second!, [{ attemptId: id, outcome: 'failed', error: 'x' }], undefined, null);
    expect(await earliestClearMs(t.db, share)).toBeUndefined();
    const { rows } = await t.db.query({ text: 'select clear_outcome from delivery_attempts' });
    expect(rows).toEqual([{ clear_outcome: 'cleared' }]);
  });

  it('are tried again after the pause', async () => {
    await using t = await testDatabase();
    await due(t.db);
    const [taken] = await take(t.db);
    await finishClear(t.db, taken!, [], 5_000, null);
    const ms = await earliestClearMs(t.db, share);
    expect(ms).toBeGreaterThan(3_000);
    expect(ms).toBeLessThanOrEqual(5_000);
  });

  it('take back the call of a worker that died in it, when its lease is over', async () => {
    await using t = await testDatabase();
    const key = await onPush(t.db);
    const { id } = await call(t.db, key);
    await ack(t.db);
    const lease = limits.providerSendingLeaseMs;
    await t.db.query({
      text: `with a as (update delivery_attempts set started_at = started_at - $1::int * interval '1 ms')
             update deliveries set clear_due_at = clear_due_at - $1::int * interval '1 ms'`,
      values: [lease],
    });
    expect(await take(t.db)).toMatchObject([{ calls: [{ attemptId: id }] }]);
  });
});
