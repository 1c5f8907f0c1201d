// Who is shown an item: users of whom presence was wrong or knows nothing, whose owner changes, who do not look.
import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { BackgroundPolicy, CategorySchema } from '../gen/carillon/v1/admin_pb.ts';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { Channel, DeliveryState } from '../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { putCategory } from '../storage/categories.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { until } from '../test/support/until.ts';
import { batchOf, rowsOf } from './records.fixture.ts';
import { answer, laneOf } from './router.fixture.ts';

const S = DeliveryState;
const here = { tenant: 'default' };

describe('a user of whom presence was wrong', () => {
  it('sees the item all the same when he came while it was being stored', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    const { locate } = lane.presence;
    let looks = 0;
    lane.presence.locate = (users) => {
      if (++looks === 2) lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
      return locate.call(lane.presence, users);
    };
    const id = await insertNotification(t.db, { users: ['ada'] });
    await lane.expander.onBatch(batchOf([id]));
    await lane.settled();
    expect(lane.links.shown).toMatchObject([{ userId: 'ada', seq: 1 }]);
  });

  const sent = async (vanished: 'closed' | 'vanished' | 'unreachable') => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    await t.db.query({
      text: `insert into users (tenant, id, email) values ('default', 'ada', 'ada@example.com')`,
    });
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    lane.links.answers = () => {
      if (vanished !== 'unreachable')
        lane.presence.leave({ ...here, userId: 'ada' }, 'edge-1', vanished === 'closed');
      return answer(TargetOutcome.NO_SESSION);
    };
    const id = await insertNotification(t.db, { users: ['ada'] });
    await lane.expander.onBatch(batchOf([id]));
    await lane.settled();
    const [row] = await rowsOf(t.db, id);
    return { due: row?.due, state: row?.state, sooner: lane.sooner };
  };

  it('is looked at again at once when he had closed the app', async () => {
    expect(await sent('closed')).toEqual({ due: 0, state: S.WAITING, sooner: [0] });
  });

  it('has the linger when he vanished or his edge does not answer', async () => {
    expect(await sent('vanished')).toMatchObject({ due: limits.lingerMs / 1_000, state: S.WAITING });
    expect(await sent('unreachable')).toMatchObject({ due: limits.lingerMs / 1_000, state: S.WAITING });
  });

  it('sees it at once on another edge to which he had gone', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    lane.links.answers = (_user, edge) => {
      lane.presence.enter({ ...here, userId: 'ada' }, 'edge-2');
      return answer(edge === 'edge-1' ? TargetOutcome.NO_SESSION : TargetOutcome.WRITTEN);
    };
    const id = await insertNotification(t.db, { users: ['ada'] });
    await lane.expander.onBatch(batchOf([id]));
    await lane.settled();
    expect(lane.links.shown.map(({ edge }) => edge)).toEqual(['edge-1', 'edge-2']);
    expect(lane.sooner).toEqual([]);
  });

  it('who was about to come back is looked for once more, a moment later', async () => {
    await using t = await testDatabase();
    const clock = new ManualClock(systemClock.now());
    const lane = laneOf(t.db, new RecordingHandoff(), clock);
    for (const userId of ['ada', 'bob']) lane.presence.leave({ ...here, userId }, 'edge-1', false);
    const id = await insertNotification(t.db, { users: ['ada', 'bob', 'never-seen'] });
    await lane.expander.onBatch(batchOf([id]));
    await until('second look', () => (lane.presence.looks.length === 3 ? true : undefined));
    expect(lane.links.shown).toEqual([]);
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-2');
    await until('item on the new edge', () => {
      clock.advance(limits.lookAgainMs[0]);
      return lane.links.shown.length > 0 ? true : undefined;
    });
    await lane.settled();
    expect(lane.links.shown).toMatchObject([{ edge: 'edge-2', userId: 'ada', seq: 1 }]);
    expect(lane.presence.looks.at(-1)).toEqual(['ada', 'bob']);
  });
});

describe('an edge that does not answer', () => {
  it('is asked again within ten seconds, and then left to its heartbeat', async () => {
    await using t = await testDatabase();
    const clock = new ManualClock(systemClock.now());
    const lane = laneOf(t.db, new RecordingHandoff(), clock);
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    lane.links.answers = () => answer(TargetOutcome.NO_SESSION);
    const id = await insertNotification(t.db, { users: ['ada'] });
    await lane.expander.onBatch(batchOf([id]));
    const times: number[] = [];
    let passedMs = 0;
    for (; passedMs < 20_000; passedMs += 500) {
      await until('end of the dispatch', () => (lane.presenter.busy ? undefined : true));
      while (times.length < lane.links.batches.length) times.push(passedMs);
      clock.advance(500);
    }
    expect(times).toEqual([0, 1_000, 4_000, 9_000]);
    await lane.settled();
  });

  it('shows the item as soon as it answers', async () => {
    await using t = await testDatabase();
    const clock = new ManualClock(systemClock.now());
    const lane = laneOf(t.db, new RecordingHandoff(), clock);
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    let asked = 0;
    lane.links.answers = () => answer(++asked < 3 ? TargetOutcome.NO_SESSION : TargetOutcome.WRITTEN);
    const id = await insertNotification(t.db, { users: ['ada'] });
    await lane.expander.onBatch(batchOf([id]));
    await until('item', () => {
      if (!lane.presenter.busy) clock.advance(500);
      return asked === 3 ? true : undefined;
    });
    await until('end of the dispatch', () => (lane.presenter.busy ? undefined : true));
    for (let n = 0; n < 40; n++) clock.advance(500);
    await lane.settled();
    expect(asked).toBe(3);
  });
});

describe('while the hints are lost', () => {
  it('nobody is offline: owners and linked edges are asked, presence once', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    await t.db.query({
      text: `insert into users (tenant, id, email) select 'default', u, 'x@example.com' from unnest(array['ada', 'bob']) u`,
    });
    lane.presence.known = false;
    lane.ownership.nodes = ['edge-2'];
    lane.links.nodes = ['edge-1', 'edge-2', 'edge-3'];
    lane.links.answers = (userId, edge) =>
      answer(userId === 'ada' && edge === 'edge-3' ? TargetOutcome.WRITTEN : TargetOutcome.NO_SESSION);
    const id = await insertNotification(t.db, { users: ['ada', 'bob'] });
    await lane.expander.onBatch(batchOf([id]));
    await lane.settled();
    expect(lane.links.batches.map(({ edge, targets }) => [edge, targets])).toEqual([
      ['edge-2', 2],
      ['edge-1', 2],
      ['edge-3', 2],
    ]);
    expect(lane.presence.looks).toHaveLength(1);
    expect(await rowsOf(t.db, id)).toMatchObject([
      { user_id: 'ada', state: S.WAITING, reason: 'UNKNOWN', due: 10 },
      { user_id: 'bob', state: S.WAITING, reason: 'UNKNOWN', due: 10 },
    ]);
    expect(lane.handoff.committed).toEqual([]);
    // Then the ack deadline decides.
    await t.db.query({
      text: `update deliveries set due_at = now(), created_at = now() - interval '10 s' where user_id = 'bob'`,
    });
    expect(await lane.due.run()).toBe(1);
    expect((await rowsOf(t.db, id))[1]).toMatchObject({ state: S.QUEUED, reason: 'NO_ACK' });
  });
});

describe('while views differ', () => {
  it('the item goes to the old owner and the new one, also for a user whom neither has announced', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    lane.ownership.nodes = ['edge-new', 'edge-old'];
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1');
    const id = await insertNotification(t.db, { users: ['ada', 'bob'] });
    await lane.expander.onBatch(batchOf([id]));
    await lane.settled();
    const asked = (user: string) =>
      lane.links.shown.filter(({ userId }) => userId === user).map(({ edge }) => edge);
    expect(asked('ada')).toEqual(['edge-1', 'edge-new', 'edge-old']);
    expect(asked('bob')).toEqual(['edge-new', 'edge-old']);
  });
});

describe('a category', () => {
  it('decides from the next record on: the item is shown and the push goes out with it', async () => {
    await using t = await testDatabase();
    const lane = laneOf(t.db);
    await t.db.query({
      text: `insert into devices (tenant, user_id, device_id, platform, token) values ('default', 'ada', 'd', 4, 't')`,
    });
    lane.presence.enter({ ...here, userId: 'ada' }, 'edge-1', Activity.BACKGROUND);
    const send = async () => {
      const id = await insertNotification(t.db, { users: ['ada'] });
      await lane.expander.onBatch(batchOf([id]));
      await lane.settled();
      return (await rowsOf(t.db, id))[0];
    };
    expect(await send()).toMatchObject({ state: S.WAITING, reason: 'ONLINE', seq: 1 });
    const put = (background: BackgroundPolicy) =>
      putCategory(t.db, 'default', create(CategorySchema, { id: 'default', background }));
    await put(BackgroundPolicy.STREAM_AND_PUSH);
    expect(await send()).toMatchObject({
      state: S.QUEUED,
      reason: 'BACKGROUND',
      step_channel: Channel.PUSH,
      seq: 2,
      due: limits.reconcileMs / 1_000,
    });
    expect(lane.links.shown.map(({ seq }) => seq)).toEqual([1, 2]);
    expect(lane.handoff.committed).toMatchObject([{ topic: 'carillon.push.normal' }]);
    await put(BackgroundPolicy.STREAM_ONLY);
    expect(await send()).toMatchObject({ state: S.WAITING, seq: 3 });
  });
});
