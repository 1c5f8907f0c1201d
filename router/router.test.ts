// The router on a real log: what is accepted ends as rows, shown to who is here, in one trace; several routers side by side.
import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { PostgresEventLog } from '../eventlog/event-log.postgres.ts';
import { PostgresHandoff } from '../eventlog/handoff.postgres.ts';
import { allTopics, rawTopic } from '../eventlog/topics.ts';
import { RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { DeliveryState, Lane, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import type { Attributes, Span, SpanOptions, Tracing } from '../runtime/tracing.ts';
import { isSampled, noSpan, tracingOff } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import { openDatabase } from '../storage/database.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification, type NotificationRow } from '../test/support/notification-rows.ts';
import { FakeLinks, FakeOwnership, FakePresence } from './router.fixture.ts';
import { startRouter } from './router.ts';

const S = DeliveryState;
const N = NotificationState;
const TRACE = 'c'.repeat(32);
const SENT = `00-${TRACE}-${'d'.repeat(16)}-01`;

interface SeenSpan {
  name: string;
  traceparent: string;
  parent: string;
  attributes: Attributes;
  ended: boolean;
  startMs: number | undefined;
}

class RecordingTracing implements Tracing {
  readonly spans: SeenSpan[] = [];
  root(name: string, options: SpanOptions): Span {
    return this.span(name, options);
  }
  span(name: string, { parent, attributes = {}, startMs }: SpanOptions): Span {
    if (!parent || !isSampled(parent)) return noSpan(parent);
    const id = (this.spans.length + 1).toString(16).padStart(16, '0');
    const seen: SeenSpan = {
      name,
      parent,
      attributes,
      startMs,
      traceparent: `${parent.slice(0, 36)}${id}-01`,
      ended: false,
    };
    this.spans.push(seen);
    return {
      traceparent: seen.traceparent,
      set: () => {},
      fail: () => {},
      end: () => {
        seen.ended = true;
      },
    };
  }
  flush = () => Promise.resolve();
  [Symbol.asyncDispose] = () => Promise.resolve();
}

async function meshOn(db: Database, tracing: Tracing = tracingOff) {
  const stack = new AsyncDisposableStack();
  const eventLog = stack.use(new PostgresEventLog({ db, log: silentLog }));
  await eventLog.createTopics(allTopics);
  const handoff = stack.use(new PostgresHandoff({ eventLog, log: silentLog }));
  const presence = new FakePresence();
  const links = new FakeLinks();
  const poisoned: unknown[] = [];
  const router = stack.use(
    await startRouter({
      database: db,
      eventLog,
      handoff,
      presence,
      links,
      ownership: new FakeOwnership(),
      tracing,
      onPoison: async (_record, error) => void poisoned.push(error),
      clock: systemClock,
      metrics: { deliveriesTotal: { add: () => {} }, stageLag: { record: () => {} } },
      log: silentLog,
    }),
  );
  await router.ready();
  return {
    eventLog,
    presence,
    links,
    poisoned,
    async accept(row: NotificationRow): Promise<string> {
      const id = await insertNotification(db, row);
      const value = toBinary(
        RawRecordSchema,
        create(RawRecordSchema, { tenant: 'default', notificationId: id }),
      );
      const headers: Record<string, string> = row.traceparent ? { traceparent: row.traceparent } : {};
      await eventLog.append([{ topic: rawTopic(row.lane ?? Lane.NORMAL), key: id, value, headers }]);
      return id;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const stateOf = async (db: Database, id: string) => {
  const { rows } = await db.query<{ state: number; expanded: number }>({
    text: 'select state, expanded from notifications where id = $1',
    values: [id],
  });
  return rows[0];
};

describe('a router', () => {
  it('brings each lane from the log to rows and screens, a large audience by way of pages', async () => {
    await using t = await testDatabase();
    await using mesh = await meshOn(t.db);
    const users = Array.from({ length: 1_100 }, (_, n) => `user-${n}`);
    for (const userId of users.slice(0, 30)) mesh.presence.enter({ tenant: 'default', userId }, 'edge-1');
    const ids = await Promise.all([
      mesh.accept({ users: ['user-1'], lane: Lane.CRITICAL }),
      mesh.accept({ users: ['user-2', 'user-3'], lane: Lane.NORMAL }),
      mesh.accept({ users, lane: Lane.BULK }),
    ]);
    for (const [index, recipients] of [1, 2, 1_100].entries())
      await expect
        .poll(() => stateOf(t.db, ids[index]!), { timeout: 20_000 })
        .toEqual({ state: N.EXPANDED, expanded: recipients });
    await expect.poll(() => mesh.links.shown.length, { timeout: 5_000 }).toBe(33);
    const { rows } = await t.db.query({ text: 'select count(*)::int as n from inbox_items' });
    expect(rows).toEqual([{ n: 1_103 }]);
    expect(mesh.poisoned).toEqual([]);
  });

  it('looks after due rows of every lane by itself', async () => {
    await using t = await testDatabase();
    await using mesh = await meshOn(t.db);
    await t.db.query({
      text: `insert into users (tenant, id, email) values ('default', 'ada', 'ada@example.com')`,
    });
    mesh.presence.enter({ tenant: 'default', userId: 'ada' }, 'edge-1');
    const id = await mesh.accept({ users: ['ada'], lane: Lane.BULK });
    await expect.poll(() => mesh.links.shown.length, { timeout: 10_000 }).toBe(1);
    mesh.presence.leave({ tenant: 'default', userId: 'ada' }, 'edge-1', true);
    await t.db.query({ text: 'update deliveries set due_at = now() where due_at is not null' });
    const row = async () => {
      const { rows } = await t.db.query<{ state: number; reason: string }>({
        text: 'select state, reason from deliveries where notification_id = $1',
        values: [id],
      });
      return rows[0];
    };
    await expect.poll(row, { timeout: 5_000 }).toEqual({ state: S.QUEUED, reason: 'OFFLINE' });
  });

  it('gives what it cannot read to the keeper of dead letters, and goes on', async () => {
    await using t = await testDatabase();
    await using mesh = await meshOn(t.db);
    await mesh.eventLog.append([
      { topic: rawTopic(Lane.NORMAL), key: 'x', value: new Uint8Array([255, 255, 255]), headers: {} },
    ]);
    const id = await mesh.accept({ users: ['ada'] });
    await expect
      .poll(() => stateOf(t.db, id), { timeout: 20_000 })
      .toEqual({ state: N.EXPANDED, expanded: 1 });
    await expect.poll(() => mesh.poisoned.length, { timeout: 20_000 }).toBe(1);
  });

  it('continues the trace: log wait, plan, link, and the frame below it; unsampled flows cost no span', async () => {
    await using t = await testDatabase();
    const tracing = new RecordingTracing();
    await using mesh = await meshOn(t.db, tracing);
    mesh.presence.enter({ tenant: 'default', userId: 'ada' }, 'edge-1');
    await mesh.accept({ users: ['ada'], traceparent: SENT });
    await mesh.accept({ users: ['ada'], traceparent: SENT.replace(/01$/, '00') });
    await expect.poll(() => mesh.links.shown.length, { timeout: 10_000 }).toBe(2);
    await expect.poll(() => tracing.spans.every((span) => span.ended), { timeout: 5_000 }).toBe(true);
    const [wait, plan, link] = tracing.spans;
    expect(tracing.spans.map((span) => span.name)).toEqual(['log wait', 'plan', 'link']);
    expect(wait).toMatchObject({ parent: SENT, startMs: expect.any(Number) });
    expect(plan?.parent).toBe(wait?.traceparent);
    expect(link?.parent).toBe(plan?.traceparent);
    expect(mesh.links.shown.map((item) => item.traceparent)).toContain(link?.traceparent);
  });
});

describe('two routers side by side', () => {
  it('store every recipient once, and what a stopped one left the other finishes', async () => {
    await using t = await testDatabase();
    await using second = openDatabase({ url: t.url });
    const one = await meshOn(t.db);
    await using two = await meshOn(second);
    const users = Array.from({ length: 60 }, (_, n) => `user-${n}`);
    const ids: string[] = [];
    for (let n = 0; n < 20; n++) ids.push(await two.accept({ users, lane: n % 2 ? Lane.NORMAL : Lane.BULK }));
    await one[Symbol.asyncDispose]();
    for (let n = 0; n < 20; n++) ids.push(await two.accept({ users, lane: n % 2 ? Lane.NORMAL : Lane.BULK }));
    for (const id of ids)
      await expect
        .poll(() => stateOf(t.db, id), { timeout: 30_000 })
        .toEqual({ state: N.EXPANDED, expanded: 60 });
    const { rows } = await t.db.query({
      text: 'select min(head) as least, max(head) as most, count(*)::int as users from inbox_heads',
    });
    expect(rows).toEqual([{ least: 40, most: 40, users: 60 }]);
  });
});
