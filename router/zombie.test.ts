// A router that is stopped for a minute and goes on as if nothing had been: what others did meanwhile stays, and nothing happens twice.
import { describe, expect, it } from 'vitest';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { Channel, DeliveryState } from '../gen/carillon/v1/notification_pb.ts';
import { acknowledge } from '../storage/acks.ts';
import type { Database } from '../storage/database.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { until } from '../test/support/until.ts';
import { batchOf, rowsOf } from './records.fixture.ts';
import { answer, laneOf } from './router.fixture.ts';

const S = DeliveryState;
const O = TargetOutcome;
const ada = { tenant: 'default', userId: 'ada' };

/** Two routers on one store and one log; ada has a mail address and is on edge-1. */
async function twoRouters(db: Database) {
  const handoff = new RecordingHandoff();
  const [zombie, other] = [laneOf(db, handoff), laneOf(db, handoff)];
  for (const lane of [zombie, other]) lane.presence.enter(ada, 'edge-1');
  await db.query({
    text: `insert into users (tenant, id, email) values ('default', 'ada', 'ada@example.com')`,
  });
  const id = await insertNotification(db, { users: ['ada'] });
  return { handoff, zombie, other, id };
}

/** Stops a router where it asks the edge; `wake` lets the edge's answer through. */
function stopAtTheEdge({ links }: ReturnType<typeof laneOf>, outcome: TargetOutcome) {
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  links.answers = async () => {
    asked.resolve();
    await gate.promise;
    return answer(outcome, 60_000);
  };
  return { stopped: asked.promise, wake: () => gate.resolve() };
}

const leaseIsOver = (db: Database) => db.query({ text: 'update deliveries set due_at = now()' });

describe('a router that was stopped', () => {
  it('with due rows in hand moves none of those that another has moved meanwhile', async () => {
    await using t = await testDatabase();
    const { handoff, zombie, other, id } = await twoRouters(t.db);
    await other.expander.onBatch(batchOf([id]));
    await other.settled();
    await leaseIsOver(t.db);
    const { stopped, wake } = stopAtTheEdge(zombie, O.ALREADY);
    const run = zombie.due.run();
    await stopped;
    // A minute later: its lease is over, and the other router hears that the user was only now shown it.
    await leaseIsOver(t.db);
    expect(await other.due.run()).toBe(1);
    const [row] = await rowsOf(t.db, id);
    expect(row).toMatchObject({ state: S.WAITING, step_channel: Channel.IN_APP, due: 10 });
    wake();
    expect(await run).toBe(1);
    expect(await rowsOf(t.db, id)).toEqual([row]);
    expect(handoff.committed).toEqual([]);
  });

  it('with due rows in hand hands nothing to a channel that another has handed it to', async () => {
    await using t = await testDatabase();
    const { handoff, zombie, other, id } = await twoRouters(t.db);
    await other.expander.onBatch(batchOf([id]));
    await other.settled();
    await leaseIsOver(t.db);
    const { stopped, wake } = stopAtTheEdge(zombie, O.ALREADY);
    const run = zombie.due.run();
    await stopped;
    await leaseIsOver(t.db);
    other.links.answers = () => answer(O.ALREADY, 60_000);
    expect(await other.due.run()).toBe(1);
    wake();
    await run;
    expect(handoff.committed).toHaveLength(1);
    expect(await rowsOf(t.db, id)).toMatchObject([
      { state: S.QUEUED, reason: 'NO_ACK', step_channel: Channel.EMAIL },
    ]);
  });

  it('between its look-ups and its commit stores nobody twice, and leaves an ack that came meanwhile', async () => {
    await using t = await testDatabase();
    const { handoff, zombie, other, id } = await twoRouters(t.db);
    const gate = Promise.withResolvers<void>();
    const { locate } = zombie.presence;
    let looking = false;
    zombie.presence.locate = async (users) => {
      looking = true;
      await gate.promise;
      return locate.call(zombie.presence, users);
    };
    const batch = zombie.expander.onBatch(batchOf([id]));
    await until('stopped router', () => (looking ? true : undefined));
    await other.expander.onBatch(batchOf([id]));
    await other.settled();
    await acknowledge(t.db, handoff, [{ ...ada, after: 0, upto: 1 }]);
    // By what the zombie knew, she has closed the app since: it would push at once.
    zombie.presence.leave(ada, 'edge-1', true);
    gate.resolve();
    await batch;
    await zombie.settled();
    expect(await rowsOf(t.db, id)).toMatchObject([{ state: S.DELIVERED, seq: 1, due: null }]);
    expect(handoff.committed).toEqual([]);
    expect(zombie.links.shown).toEqual([]);
    const { rows } = await t.db.query({ text: 'select head, unseen from inbox_heads' });
    expect(rows).toEqual([{ head: 1, unseen: 1 }]);
  });

  it('with an answer of the edge in hand brings no due time forward that is another’s now', async () => {
    await using t = await testDatabase();
    const { zombie, other, id } = await twoRouters(t.db);
    const { stopped, wake } = stopAtTheEdge(zombie, O.NO_SESSION);
    await zombie.expander.onBatch(batchOf([id]));
    await stopped;
    await leaseIsOver(t.db);
    expect(await other.due.run()).toBe(1);
    const [row] = await rowsOf(t.db, id);
    expect(row).toMatchObject({ state: S.WAITING, due: 10 });
    zombie.presence.leave(ada, 'edge-1', true);
    wake();
    await zombie.settled();
    expect(await rowsOf(t.db, id)).toEqual([row]);
  });
});
