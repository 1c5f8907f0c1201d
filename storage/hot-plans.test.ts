// The router's hot statements keep to their indexes, though they were planned when the partitions were empty and nobody has
// analyzed them since: each touches only so many pages a row.
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { Channel, DeliveryState, Lane } from '../gen/carillon/v1/notification_pb.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { earliestDueMs } from './claims.ts';
import type { Database, Queryable } from './database.ts';
import { hasten, postpone, settle, takeDue, takeNextStep } from './deliveries.ts';
import type { PlannedRow } from './delivery-row.ts';
import { earliestNotificationMs, expireNotifications, loadNotifications } from './expansion.ts';
import { loadRecipients } from './recipients.ts';
import { redrive, storeChunk } from './store-deliveries.ts';

const FILLED_ROWS = 30_000;
const BATCH_ROWS = 50;
/**
 * Pages that a statement may touch for each of its 50 rows: about 6 for a probe of an index, 10 for a change and its index
 * entries, and 5 for the other weeks' indexes in each of two looks (why: database.ts).
 */
const PAGES_PER_ROW = 50;

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) =>
      item === null || item === undefined ? 'NULL' : `"${String(item).replaceAll(/["\\]/g, '\\$&')}"`,
    );
    return pg.escapeLiteral(`{${items.join(',')}}`);
  }
  return pg.escapeLiteral(String(value));
}

/** Pages touched by each named statement, found by explaining it right before it runs. */
class Explaining implements Queryable {
  readonly pages = new Map<string, number>();
  readonly #tx: Queryable;

  constructor(tx: Queryable) {
    this.#tx = tx;
  }

  async query<R extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<R>> {
    const { name = '', values = [] } = statement;
    await this.#tx.query({ text: 'savepoint explained' });
    const { rows } = await this.#tx.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>({
      text: `explain (analyze, buffers, timing off, format json)
             execute ${pg.escapeIdentifier(name)}${values.length > 0 ? `(${values.map(literal).join(', ')})` : ''}`,
    });
    const { Plan: plan } = rows[0]!['QUERY PLAN'][0];
    this.pages.set(name, plan['Shared Hit Blocks']! + plan['Shared Read Blocks']!);
    await this.#tx.query({ text: 'rollback to savepoint explained' });
    return this.#tx.query<R>(statement);
  }
}

const rowOf = (notificationId: string, userId: string): PlannedRow => ({
  notificationId,
  userId,
  channel: Channel.IN_APP,
  tenant: 'default',
  lane: Lane.NORMAL,
  state: DeliveryState.WAITING,
  reason: 'ONLINE',
  steps: [
    { channel: Channel.IN_APP, afterMs: 10_000, until: 'ack' },
    { channel: Channel.EMAIL, afterMs: 0, until: 'ack' },
  ],
  step: 0,
  stepChannel: Channel.IN_APP,
  dueAtMs: 0,
  inInbox: true,
  inputs: { online: true },
});

/** Every hot statement of the router once, on rows for `users` of a notification that is new. */
async function everyStatement(tx: Queryable, id: string, users: readonly string[]): Promise<void> {
  const handoff = new RecordingHandoff();
  const within = {
    query: (statement: pg.QueryConfig) => tx.query(statement),
    transaction: <T>(work: (inner: Queryable) => Promise<T>) => work(tx),
  } as Database;
  const rows = users.map((userId) => rowOf(id, userId));
  await loadNotifications(tx, [id], 0);
  await loadRecipients(tx, rows);
  await storeChunk(within, handoff, rows, { nowMs: 0, reconcileMs: 1, traceparents: new Map() });
  await redrive(tx, rows);
  const taken = await takeDue(tx, {
    channel: Channel.IN_APP,
    lane: Lane.NORMAL,
    count: users.length,
    leaseMs: 1_000,
  });
  expect(taken).toHaveLength(users.length);
  expect(
    await postpone(
      tx,
      taken.map((row) => ({ ...row, inMs: 5_000 })),
    ),
  ).toBe(users.length);
  expect(
    await hasten(
      tx,
      taken.map((row) => ({ ...row, inMs: 500 })),
    ),
  ).toBe(users.length);
  const moved = await takeNextStep(
    tx,
    handoff,
    taken.map((row) => ({ row, reason: 'NO_ACK' })),
  );
  expect(moved.rows).toHaveLength(users.length);
  expect(await settle(tx, moved.rows, DeliveryState.DEAD, 'X')).toHaveLength(users.length);
  await earliestDueMs(tx, { stepChannel: Channel.IN_APP, lane: Lane.NORMAL, now: null });
  await earliestNotificationMs(tx);
  await expireNotifications(tx, [id]);
}

describe('a statement that was planned on empty partitions', () => {
  it('touches few pages once they are full', async () => {
    await using t = await testDatabase({ connections: 1 });
    const users = Array.from({ length: FILLED_ROWS }, (_, n) => `user-${n}`);
    const few = users.slice(0, BATCH_ROWS);

    const early = await insertNotification(t.db, { users: ['first'] });
    await t.db.transaction((tx) => everyStatement(tx, early, ['first']));

    const crowd = await insertNotification(t.db, { users });
    for (const text of [
      `insert into inbox_heads select 'default', u, 1, 1, 1 from unnest($2::text[]) u where $1 <> ''`,
      `insert into inbox_items select 'default', u, 1, 1, $1::uuid, null, null, null, now() from unnest($2::text[]) u`,
      `insert into users (tenant, id, email) select 'default', u, u || '@example.com' from unnest($2::text[]) u where $1 <> ''`,
      `insert into devices (tenant, user_id, device_id, platform, token) select 'default', u, 'd', 1, u from unnest($2::text[]) u where $1 <> ''`,
      `insert into deliveries (notification_id, user_id, channel, tenant, lane, state, steps, step_channel, due_at)
       select $1::uuid, u, 1, 'default', 2, 2, '[]', 1, now() + interval '1 hour' from unnest($2::text[]) u`,
    ])
      await t.db.query({ text, values: [crowd, users] });

    const late = await insertNotification(t.db, { users: few });
    const pages = await t.db.transaction(async (tx) => {
      const explaining = new Explaining(tx);
      await everyStatement(explaining, late, few);
      return explaining.pages;
    });
    for (const [name, count] of pages)
      expect({ name, count, few: count <= BATCH_ROWS * PAGES_PER_ROW }).toEqual({ name, count, few: true });
    expect(pages.size).toBe(14);
    // Planning over all weeks costs more than the work.
    const { rows: planned } = await t.db.query({
      text: 'select name from pg_prepared_statements where custom_plans > 0',
    });
    expect(planned).toEqual([]);
  });
});
