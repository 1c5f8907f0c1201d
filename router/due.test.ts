// What becomes of rows and notifications when their time comes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Whereabouts } from '../cluster/presence.ts';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { Channel, DeliveryState, Lane, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { acknowledge } from '../storage/acks.ts';
import type { Database } from '../storage/database.ts';
import { nextStep, takeDue } from '../storage/deliveries.ts';
import type { PlannedRow, Step } from '../storage/delivery-row.ts';
import { redrive, storeChunk } from '../storage/store-deliveries.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { judge } from './due.ts';
import { answer, away, laneOf, on, vanished } from './router.fixture.ts';

const S = DeliveryState;
const N = NotificationState;
const O = TargetOutcome;
const NOW = 1_800_000_000_000;

const inApp = (afterMs: number, until: 'ack' | 'read' = 'ack'): Step => ({
  channel: Channel.IN_APP,
  afterMs,
  until,
});
const email: Step = { channel: Channel.EMAIL, afterMs: 0, until: 'ack' };
const two = { steps: [inApp(10_000), email], step: 0, stepMs: 10_000 };

const verdict = (
  outcome: TargetOutcome,
  agoMs = 0,
  where: Whereabouts = away,
  { elsewhere = false, lingerMs = 5_000, stepMs = 10_000 } = {},
) => judge({ ...two, stepMs }, { shown: { outcome, agoMs }, where, elsewhere }, lingerMs, NOW);

describe('an in-app step whose time is up', () => {
  it('goes on when the client had it long enough and did not acknowledge it', () => {
    expect(verdict(O.ALREADY, 10_000)).toEqual({ kind: 'move', reason: 'NO_ACK' });
  });

  it('waits as long as is missing since it was written', () => {
    expect(verdict(O.ALREADY, 4_000)).toEqual({ kind: 'wait', inMs: 6_000 });
    expect(verdict(O.WRITTEN)).toEqual({ kind: 'wait', inMs: 10_000 });
    expect(verdict(O.CATCHING_UP)).toEqual({ kind: 'wait', inMs: 10_000 });
  });

  it('goes on for a user who closed, or whose linger is over, and not before', () => {
    expect(verdict(O.NO_SESSION)).toEqual({ kind: 'move', reason: 'OFFLINE' });
    expect(verdict(O.NO_SESSION, 0, vanished(NOW - 2_000))).toEqual({ kind: 'wait', inMs: 3_000 });
    expect(verdict(O.NO_SESSION, 0, vanished(NOW - limits.lingerMs))).toMatchObject({ kind: 'move' });
    expect(verdict(O.NO_SESSION, 0, vanished(NOW - 2_000), { lingerMs: 60_000 })).toMatchObject({
      inMs: 58_000,
    });
    expect(verdict(O.NO_SESSION, 0, vanished(NOW), { lingerMs: 0 })).toMatchObject({ kind: 'move' });
  });

  it('goes on for a user whom presence still names where he is not', () => {
    expect(verdict(O.NO_SESSION, 0, on('edge-1'))).toEqual({ kind: 'move', reason: 'OFFLINE' });
  });

  it('leaves nobody of whom nothing is known for absent: the ack deadline decides', () => {
    const lost = { ...vanished(NOW - 3_600_000), known: false };
    expect(verdict(O.NO_SESSION, 0, lost, { stepMs: 4_000 })).toEqual({ kind: 'wait', inMs: 6_000 });
    expect(verdict(O.NO_SESSION, 0, lost)).toEqual({ kind: 'move', reason: 'NO_ACK' });
  });

  it('is asked for again where the user has come back to, but not for ever', () => {
    const elsewhere = { elsewhere: true };
    expect(verdict(O.NO_SESSION, 0, on('edge-2'), elsewhere)).toEqual({
      kind: 'wait',
      inMs: limits.catchUpMs,
    });
    const stepMs = two.stepMs + limits.lingerMs;
    expect(verdict(O.NO_SESSION, 0, on('edge-2'), { ...elsewhere, stepMs })).toMatchObject({ kind: 'move' });
  });

  it('never waits for nothing, and never longer than the step or the linger', () => {
    fc.assert(
      fc.property(
        fc.nat(100_000),
        fc.constantFrom(O.WRITTEN, O.ALREADY, O.CATCHING_UP, O.NO_SESSION),
        fc.nat(200_000),
        fc.option(fc.integer({ min: -100_000, max: 100_000 }), { nil: undefined }),
        fc.nat(limits.lingerMaxMs),
        fc.boolean(),
        fc.boolean(),
        (afterMs, outcome, agoMs, ago, lingerMs, known, elsewhere) => {
          const where = { ...(ago === undefined ? away : vanished(NOW - ago)), known };
          const got = judge(
            { steps: [inApp(afterMs), email], step: 0, stepMs: afterMs },
            { shown: { outcome, agoMs }, where, elsewhere },
            lingerMs,
            NOW,
          );
          if (got.kind !== 'wait') return;
          expect(got.inMs).toBeLessThanOrEqual(Math.max(afterMs, lingerMs, limits.catchUpMs));
          if (outcome !== O.WRITTEN) expect(got.inMs).toBeGreaterThan(0);
        },
      ),
    );
  });

  it('is an end when nothing follows, and goes on unread whoever is here', () => {
    const shown = { outcome: O.WRITTEN, agoMs: 0 };
    const asked = { shown, where: away, elsewhere: false };
    expect(judge({ steps: [inApp(0)], step: 0, stepMs: 0 }, asked, limits.lingerMs, NOW)).toMatchObject({
      kind: 'end',
      state: S.SENT,
    });
    const unread = (stepMs: number) =>
      judge({ steps: [inApp(5_000, 'read'), email], step: 0, stepMs }, asked, limits.lingerMs, NOW);
    expect(unread(5_000)).toEqual({ kind: 'move', reason: 'NOT_READ' });
    expect(unread(1_000)).toEqual({ kind: 'wait', inMs: 4_000 });
  });
});

const row = (notificationId: string, userId: string, steps: Step[]): PlannedRow => ({
  notificationId,
  userId,
  channel: steps[0]!.channel,
  tenant: 'default',
  lane: Lane.NORMAL,
  state: S.WAITING,
  reason: 'ONLINE',
  steps,
  step: 0,
  stepChannel: Channel.IN_APP,
  dueAtMs: 0,
  inInbox: true,
  inputs: { online: true },
});

async function storedRow(db: Database, id: string) {
  const { rows } = await db.query({
    text: `select state, reason, step, step_channel, seq, fence, tries, inputs, due_at is null as ended,
                  round(extract(epoch from due_at - now()))::int as due from deliveries where notification_id = $1`,
    values: [id],
  });
  return rows[0];
}

const stored = async (db: Database, handoff: RecordingHandoff, rows: PlannedRow[]) =>
  storeChunk(db, handoff, rows, { nowMs: 0, reconcileMs: 1_000, traceparents: new Map() });

describe('due rows', () => {
  it('are moved to the next step, with its record and the reason kept', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`;
    const id = await insertNotification(t.db, { users: ['ada'], traceparent });
    await stored(t.db, lane.handoff, [row(id, 'ada', [inApp(10_000), email])]);
    expect(await lane.due.run()).toBe(1);
    expect(await storedRow(t.db, id)).toMatchObject({
      state: S.QUEUED,
      reason: 'OFFLINE',
      step: 1,
      step_channel: Channel.EMAIL,
      due: limits.reconcileMs / 1_000,
      inputs: {
        online: true,
        moved: [{ from: Channel.IN_APP, to: Channel.EMAIL, reason: 'OFFLINE', at: expect.any(String) }],
      },
    });
    expect(lane.handoff.committed).toMatchObject([
      { topic: 'carillon.email.normal', key: 'default\u001fada', headers: { traceparent } },
    ]);
    expect(await lane.due.run()).toBe(0);
  });

  it('are left alone when an ack came while the edge was asked', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const id = await insertNotification(t.db, { users: ['ada'] });
    await stored(t.db, lane.handoff, [row(id, 'ada', [inApp(0), email])]);
    lane.presence.enter({ tenant: 'default', userId: 'ada' }, 'edge-1');
    lane.links.answers = async () => {
      await t.db.query({
        text: `update deliveries set state = ${S.DELIVERED}, due_at = null, fence = fence + 1`,
      });
      return answer(O.ALREADY, 60_000);
    };
    expect(await lane.due.run()).toBe(1);
    expect(await storedRow(t.db, id)).toMatchObject({ state: S.DELIVERED, step: 0, ended: true });
    expect(lane.handoff.committed).toEqual([]);
  });

  it('end with their notification', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const expired = await insertNotification(t.db, { users: ['ada'] });
    const cancelled = await insertNotification(t.db, { users: ['ada'] });
    await stored(
      t.db,
      lane.handoff,
      [expired, cancelled].map((id) => row(id, 'ada', [inApp(0), email])),
    );
    await t.db.query({
      text: `update notifications set expires_at = now() - interval '1 s' where id = $1`,
      values: [expired],
    });
    await t.db.query({
      text: `update notifications set state = ${N.CANCELLED} where id = $1`,
      values: [cancelled],
    });
    expect(await lane.due.run()).toBe(2);
    expect(await storedRow(t.db, expired)).toMatchObject({
      state: S.EXPIRED,
      reason: 'EXPIRED',
      ended: true,
    });
    expect(await storedRow(t.db, cancelled)).toMatchObject({ state: S.CANCELLED, ended: true });
  });

  it('end by the database’s clock, whatever the router’s says', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db, new RecordingHandoff(), new ManualClock(systemClock.now() + 86_400_000));
    lane.presence.enter({ tenant: 'default', userId: 'ada' }, 'edge-1');
    const id = await insertNotification(t.db, { users: ['ada'], ttlMs: 3_600_000 });
    await stored(t.db, lane.handoff, [row(id, 'ada', [inApp(10_000), email])]);
    expect(await lane.due.run()).toBe(1);
    expect(await storedRow(t.db, id)).toMatchObject({ state: S.WAITING, due: 10 });
  });

  it('that come to a step in the app get their item then, and are shown', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const id = await insertNotification(t.db, { users: ['ada'] });
    const steps = [email, { ...inApp(0) }];
    await stored(t.db, lane.handoff, [
      { ...row(id, 'ada', steps), state: S.QUEUED, stepChannel: Channel.EMAIL, inInbox: false },
    ]);
    const taken = await takeDue(t.db, {
      channel: Channel.EMAIL,
      lane: Lane.NORMAL,
      count: 1,
      leaseMs: 1_000,
    });
    const [moved] = await nextStep(
      t.db,
      lane.handoff,
      taken.map((one) => ({ row: one, reason: 'PERMANENT' })),
    );
    expect(moved).toMatchObject({ state: S.WAITING, stepChannel: Channel.IN_APP, seq: 1 });
    lane.presence.enter({ tenant: 'default', userId: 'ada' }, 'edge-1');
    expect(await lane.due.run()).toBe(1);
    expect(lane.links.shown).toMatchObject([{ userId: 'ada', seq: 1 }]);
    expect(await storedRow(t.db, id)).toMatchObject({ state: S.SENT, seq: 1, ended: true });
  });

  it('wait for their read, also when their record came again or their step has just begun', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    lane.presence.enter({ tenant: 'default', userId: 'ada' }, 'edge-1');
    const hour = inApp(3_600_000, 'read');
    const again = await insertNotification(t.db, { users: ['ada'], ttlMs: 86_400_000 });
    const first = { ...row(again, 'ada', [hour, email]), dueAtMs: 3_600_000 };
    await stored(t.db, lane.handoff, [first]);
    await redrive(t.db, [first]);
    const later = await insertNotification(t.db, { users: ['ada'], ttlMs: 86_400_000 });
    const push = { channel: Channel.PUSH, afterMs: 0, until: 'ack' } as const;
    await stored(t.db, lane.handoff, [
      {
        ...row(later, 'ada', [push, hour, email]),
        state: S.QUEUED,
        stepChannel: Channel.PUSH,
        inInbox: false,
      },
    ]);
    const taken = await takeDue(t.db, { channel: Channel.PUSH, lane: Lane.NORMAL, count: 1, leaseMs: 1_000 });
    await nextStep(
      t.db,
      lane.handoff,
      taken.map((one) => ({ row: one, reason: 'PERMANENT' })),
    );
    expect(await lane.due.run()).toBe(2);
    for (const id of [again, later])
      expect(await storedRow(t.db, id)).toMatchObject({
        state: S.WAITING,
        step_channel: Channel.IN_APP,
        due: 3_600,
      });
    expect(lane.links.shown).toHaveLength(2);
  });

  it('that were acknowledged and wait for a read end as delivered, whatever ends them', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const id = await insertNotification(t.db, { users: ['ada'] });
    await stored(t.db, lane.handoff, [row(id, 'ada', [inApp(60_000, 'read'), email])]);
    expect(
      await acknowledge(t.db, lane.handoff, [{ tenant: 'default', userId: 'ada', after: 0, upto: 1 }]),
    ).toHaveLength(1);
    await t.db.query({ text: `update notifications set expires_at = now() - interval '1 s'` });
    expect(await lane.due.run()).toBe(1);
    expect(await storedRow(t.db, id)).toMatchObject({ state: S.DELIVERED, reason: '', ended: true });
  });

  it('are shared out among routers: each is moved once', async () => {
    await using t = await testDatabase({ connections: 8 });
    const users = Array.from({ length: 500 }, (_, n) => `user-${n}`);
    const id = await insertNotification(t.db, { users });
    const handoff = new RecordingHandoff();
    for (let at = 0; at < users.length; at += 100)
      await stored(
        t.db,
        handoff,
        users.slice(at, at + 100).map((user) => row(id, user, [inApp(0), email])),
      );
    const lanes = Array.from({ length: 4 }, () => laneOf(t.db, handoff));
    const taken = await Promise.all(
      lanes.map(async (lane) => {
        let sum = 0;
        for (let got = await lane.due.run(); got > 0; got = await lane.due.run()) sum += got;
        return sum;
      }),
    );
    expect(taken.reduce((sum, got) => sum + got, 0)).toBe(500);
    expect(handoff.committed).toHaveLength(500);
  });
});
