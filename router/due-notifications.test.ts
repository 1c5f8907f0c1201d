// Notifications begin when they were scheduled, go on the log again when it forgot them, and expire; the due loop wakes in time.
import { describe, expect, it } from 'vitest';
import { NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { DueLoop } from './due-loop.ts';
import { dueNotifications } from './due-notifications.ts';

const N = NotificationState;

describe('due notifications', () => {
  const run = async (db: Database, handoff = new RecordingHandoff()) => {
    const count = await dueNotifications(db, handoff).run();
    return { count, topics: handoff.committed.map((record) => record.topic), handoff };
  };
  const stateOf = async (db: Database, id: string) => {
    const { rows } = await db.query({
      text: 'select state, round(extract(epoch from due_at - now()))::int as due from notifications where id = $1',
      values: [id],
    });
    return rows[0];
  };

  it('begin when they were scheduled, and not before', async () => {
    await using t = await testDatabase();
    const id = await insertNotification(t.db, { users: ['ada'], state: N.SCHEDULED, dueInMs: 60_000 });
    expect(await run(t.db)).toMatchObject({ count: 0 });
    await t.db.query({ text: 'update notifications set due_at = now()' });
    const { count, handoff } = await run(t.db);
    expect(count).toBe(1);
    expect(handoff.committed).toMatchObject([{ topic: 'carillon.raw.normal', key: 'default\u001fada' }]);
    expect(await stateOf(t.db, id)).toEqual({ state: N.ACCEPTED, due: limits.reconcileMs / 1_000 });
  });

  it('that the log forgot are put on it again, less and less often', async () => {
    await using t = await testDatabase();
    const id = await insertNotification(t.db, { users: ['ada', 'bob'], dueInMs: 0 });
    await t.db.query({ text: `update notifications set created_at = now() - interval '5 min'` });
    const { handoff } = await run(t.db);
    expect(handoff.committed).toMatchObject([{ topic: 'carillon.raw.normal', key: id }]);
    expect(await stateOf(t.db, id)).toEqual({ state: N.ACCEPTED, due: 300 });
  });

  it('wait for the log when it is only slow', async () => {
    await using t = await testDatabase();
    await insertNotification(t.db, { users: ['ada'], dueInMs: 0 });
    await insertNotification(t.db, { users: ['bob'], state: N.SCHEDULED, dueInMs: 0 });
    const handoff = new RecordingHandoff();
    handoff.oldestMs = limits.reconcileMs + 1;
    expect((await run(t.db, handoff)).topics).toHaveLength(1);
    expect(handoff.committed[0]?.key).toBe('default\u001fbob');
  });

  it('expire', async () => {
    await using t = await testDatabase();
    const id = await insertNotification(t.db, { users: ['ada'], state: N.SCHEDULED, dueInMs: 0, ttlMs: -1 });
    expect(await run(t.db)).toMatchObject({ count: 1, topics: [] });
    expect(await stateOf(t.db, id)).toEqual({ state: N.EXPIRED, due: null });
  });
});

describe('the due loop', () => {
  /** Lets promises run until the loop sleeps again. */
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };

  it('sleeps until the next due time, a second at most, and does not spin on what others hold', async () => {
    const clock = new ManualClock();
    const startMs = clock.now();
    const looks: number[] = [];
    const answers: (number | undefined)[] = [40, 0, 5_000, undefined, 100];
    const loop = new DueLoop(
      {
        run: () => {
          looks.push(clock.now() - startMs);
          return Promise.resolve(0);
        },
        earliestMs: () => Promise.resolve(answers.shift()),
      },
      { name: 'test', clock, log: silentLog },
    );
    for (let ms = 0; ms < 2_500; ms++) {
      await settle();
      clock.advance(1);
    }
    expect(looks.slice(0, 5)).toEqual([0, 41, 41 + limits.dueBusyMs, 1_291, 2_291]);
    await loop[Symbol.asyncDispose]();
    await loop[Symbol.asyncDispose]();
  });

  it('does not lose what becomes due sooner while it looks', async () => {
    const clock = new ManualClock();
    let looks = 0;
    const loop: DueLoop = new DueLoop(
      {
        run: () => Promise.resolve(0),
        earliestMs: async () => {
          if (++looks === 1) await Promise.resolve().then(() => loop.nudge(100));
          return undefined;
        },
      },
      { name: 'test', clock, log: silentLog },
    );
    await settle();
    clock.advance(99);
    await settle();
    expect(looks).toBe(1);
    clock.advance(1);
    await settle();
    expect(looks).toBe(2);
    await loop[Symbol.asyncDispose]();
  });

  it('wakes when something becomes due sooner, and goes on after an error', async () => {
    const clock = new ManualClock();
    let looks = 0;
    const loop = new DueLoop(
      {
        run: () => {
          looks++;
          return looks === 2 ? Promise.reject(new Error('not now')) : Promise.resolve(0);
        },
        earliestMs: () => Promise.resolve(undefined),
      },
      { name: 'test', clock, log: silentLog },
    );
    await settle();
    loop.nudge(0);
    await settle();
    expect(looks).toBe(2);
    loop.nudge(300);
    clock.advance(299);
    await settle();
    expect(looks).toBe(2);
    clock.advance(1);
    await settle();
    expect(looks).toBe(3);
    await loop[Symbol.asyncDispose]();
  });
});
