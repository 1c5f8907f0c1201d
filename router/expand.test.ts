// A record becomes rows, items and frames: once, however often it comes and whoever dies in between.
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Channel, DeliveryState, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Database } from '../storage/database.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { batchOf, rowsOf } from './records.fixture.ts';
import { laneOf } from './router.fixture.ts';

const S = DeliveryState;
const N = NotificationState;
const here = { tenant: 'default' };

async function stateOf(db: Database, id: string): Promise<unknown> {
  const { rows } = await db.query({
    text: 'select state, expanded from notifications where id = $1',
    values: [id],
  });
  return rows[0];
}

const people = (count: number) =>
  Array.from({ length: count }, (_, n) => `user-${String(n).padStart(5, '0')}`);

describe('a raw record', () => {
  it('is expanded at once for a few users: who is here sees it, who is away gets the next channel', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    await t.db.query({
      text: `insert into users (tenant, id, email) select 'default', u, u || '@example.com' from unnest(array['ada', 'bob']) u`,
    });
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    const id = await insertNotification(t.db, { users: ['ada', 'bob', 'eve', 'ada'] });
    await lane.expander.onBatch(batchOf([id]));
    await lane.settled();
    expect(await rowsOf(t.db, id)).toMatchObject([
      { user_id: 'ada', state: S.WAITING, reason: 'ONLINE', step_channel: Channel.IN_APP, seq: 1, due: 10 },
      {
        user_id: 'bob',
        state: S.QUEUED,
        reason: 'OFFLINE',
        step_channel: Channel.EMAIL,
        seq: 1,
        due: limits.reconcileMs / 1_000,
      },
      { user_id: 'eve', state: S.SENT, reason: 'STORED', step_channel: Channel.IN_APP, seq: 1, due: null },
    ]);
    expect(await stateOf(t.db, id)).toEqual({ state: N.EXPANDED, expanded: 3 });
    expect(lane.links.shown).toMatchObject([
      { edge: 'edge-1', userId: 'ada', seq: 1, notificationId: id, title: 'Hello', traceparent: '' },
    ]);
    expect(lane.handoff.committed.map((record) => record.topic)).toEqual(['carillon.email.normal']);
  });

  it('that comes again changes nothing twice', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    const id = await insertNotification(t.db, { users: ['ada', 'bob'] });
    await lane.expander.onBatch(batchOf([id, id]));
    await lane.expander.onBatch(batchOf([id]));
    await lane.settled();
    const { rows } = await t.db.query({
      text: 'select user_id, head, unseen from inbox_heads order by user_id',
    });
    expect(rows).toEqual([
      { user_id: 'ada', head: 1, unseen: 1 },
      { user_id: 'bob', head: 1, unseen: 1 },
    ]);
    expect(await stateOf(t.db, id)).toEqual({ state: N.EXPANDED, expanded: 2 });
  });

  it('keeps the order in which one user was sent several', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    const ids = [];
    for (let n = 0; n < 250; n++) ids.push(await insertNotification(t.db, { users: ['ada'] }));
    await lane.expander.onBatch(batchOf(ids));
    await lane.settled();
    expect(lane.links.shown.map(({ notificationId, seq }) => [seq, notificationId])).toEqual(
      ids.map((id, index) => [index + 1, id]),
    );
  });

  it('of a notification that was cancelled, has expired or is gone does nothing', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const cancelled = await insertNotification(t.db, { users: ['ada'], state: N.CANCELLED });
    const late = await insertNotification(t.db, { users: ['ada'], ttlMs: -1 });
    await lane.expander.onBatch(batchOf([cancelled, late, '0192a000-0000-7000-8000-000000000001']));
    expect(await rowsOf(t.db, cancelled)).toEqual([]);
    expect(await rowsOf(t.db, late)).toEqual([]);
    expect(await stateOf(t.db, late)).toEqual({ state: N.EXPIRED, expanded: 0 });
  });

  it('with a large audience becomes pages, and the pages make each recipient once', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const users = people(1_200);
    const id = await insertNotification(t.db, { users: [...users, ...users.slice(0, 300)] });
    await lane.expander.onBatch(batchOf([id]));
    expect(await stateOf(t.db, id)).toEqual({ state: N.EXPANDING, expanded: 0 });
    const pages = lane.handoff.committed.splice(0);
    expect(pages.map((page) => page.topic)).toEqual(Array(3).fill('carillon.fanout.normal'));
    expect(new Set(pages.map((page) => page.key)).size).toBe(3);
    expect(
      pages.map((page) => fromBinary(RawRecordSchema, page.value)).map(({ from, upto }) => [from, upto]),
    ).toEqual([
      [0, 500],
      [500, 1_000],
      [1_000, 1_200],
    ]);
    for (const page of [pages[2]!, pages[0]!, pages[0]!]) await lane.expander.onBatch(batchOf([], [page]));
    expect(await stateOf(t.db, id)).toEqual({ state: N.EXPANDING, expanded: 700 });
    await lane.expander.onBatch(batchOf([], pages));
    expect(await stateOf(t.db, id)).toEqual({ state: N.EXPANDED, expanded: 1_200 });
    const { rows } = await t.db.query({
      text: 'select count(*)::int as n, max(head) as head from inbox_heads',
    });
    expect(rows).toEqual([{ n: 1_200, head: 1 }]);
  });

  it('does not let many audiences hold the partition: what is over the bound of a batch becomes pages', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const ids = [];
    for (let n = 0; n < 6; n++) ids.push(await insertNotification(t.db, { users: people(400) }));
    await lane.expander.onBatch(batchOf(ids));
    const states = await Promise.all(ids.map((id) => stateOf(t.db, id)));
    expect(states).toEqual([
      ...Array(5).fill({ state: N.EXPANDED, expanded: 400 }),
      { state: N.EXPANDING, expanded: 0 },
    ]);
  });

  it('stops in mid-flight when its notification is cancelled, and when the partition is taken away', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const id = await insertNotification(t.db, { users: people(500) });
    const other = await insertNotification(t.db, { users: people(500) });
    const stop = new AbortController();
    const { present } = lane.presenter;
    let chunks = 0;
    lane.presenter.present = async (rows) => {
      chunks++;
      if (chunks === 2)
        await t.db.query({
          text: `update notifications set state = ${N.CANCELLED}, due_at = null where id = $1`,
          values: [id],
        });
      if (chunks === 6) stop.abort();
      return present.call(lane.presenter, rows);
    };
    await expect(lane.expander.onBatch(batchOf([id, other], [], stop.signal))).rejects.toThrow();
    expect(await stateOf(t.db, id)).toEqual({ state: N.CANCELLED, expanded: 200 });
    expect(await rowsOf(t.db, id)).toHaveLength(200);
    expect(await stateOf(t.db, other)).toEqual({ state: N.EXPANDING, expanded: 300 });
  });
});

describe('a router that dies between commit and dispatch', () => {
  it('is made up for by the record that comes again', async () => {
    await using t = await testDatabase();
    const dead = laneOf(t.db);
    const alive = laneOf(t.db);
    for (const lane of [dead, alive]) lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    dead.presenter.present = () => Promise.resolve();
    const id = await insertNotification(t.db, { users: ['ada'] });
    await dead.expander.onBatch(batchOf([id]));
    await alive.expander.onBatch(batchOf([id]));
    await alive.settled();
    expect(dead.links.shown).toEqual([]);
    expect(alive.links.shown).toMatchObject([{ userId: 'ada', seq: 1 }]);
  });

  it('is made up for by the due time when no record comes', async () => {
    await using t = await testDatabase();
    const dead = laneOf(t.db);
    const alive = laneOf(t.db);
    await t.db.query({
      text: `insert into users (tenant, id, email) values ('default', 'ada', 'ada@example.com')`,
    });
    for (const lane of [dead, alive]) lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    dead.presenter.present = () => Promise.resolve();
    const id = await insertNotification(t.db, { users: ['ada'] });
    await dead.expander.onBatch(batchOf([id]));
    await t.db.query({ text: 'update deliveries set due_at = now()' });
    expect(await alive.due.run()).toBe(1);
    expect(alive.links.shown).toMatchObject([{ userId: 'ada', seq: 1, notificationId: id }]);
    // Only now written: the client has its ten seconds from here.
    expect(await rowsOf(t.db, id)).toMatchObject([
      { state: S.WAITING, step_channel: Channel.IN_APP, due: 10 },
    ]);
  });
});
