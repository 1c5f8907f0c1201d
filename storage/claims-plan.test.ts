// The statements of every delivery keep reading by key, also where their plan was made while the table was empty.
import { expect, it } from 'vitest';
import { Channel, Lane, DeliveryState as S } from '../gen/carillon/v1/notification_pb.ts';
import { systemIds } from '../runtime/ids.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertDelivery } from '../test/support/delivery-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { begin, finish } from './attempts.ts';
import { claimDue, claimRows, earliestDueMs, release } from './claims.ts';
import type { Database } from './database.ts';
import type { DeliveryKey } from './delivery-row.ts';
import { escalateDue, markInterrupted, settleAmbiguous } from './interrupted.ts';

const share = { stepChannel: Channel.EMAIL, lane: Lane.NORMAL, now: null };
const handoff = new RecordingHandoff();

async function sendOne(db: Database, key: DeliveryKey): Promise<void> {
  await earliestDueMs(db, share);
  await claimDue(db, share, 1, 1_000);
  const [row] = await claimRows(db, share, [key], 60_000);
  const attempt = { id: systemIds.uuid(), provider: 'a', address: 'x' };
  await release(db, row!, 0, '', null);
  const [again] = await claimRows(db, share, [key], 60_000);
  expect(await begin(db, again!, { attempts: [attempt], ended: [], leaseMs: 60_000, now: null })).toBe(
    'begun',
  );
  const ends = [{ id: attempt.id, outcome: 'sent' as const, providerMessageId: '', error: '' }];
  expect(await finish(db, handoff, again!, { move: { to: 'sent' }, ends, now: null })).toBe(S.SENT);
}

/** Blocks of deliveries and attempts that the statements of this server have read so far. */
async function blocksRead(db: Database): Promise<number> {
  await db.query({ text: 'select pg_stat_force_next_flush()' });
  const { rows } = await db.query<{ blocks: number }>({
    text: `select sum(heap_blks_hit + heap_blks_read)::int as blocks
           from pg_statio_user_tables where relname like 'deliver%'`,
  });
  return rows[0]!.blocks;
}

it('reads a few blocks per delivery among 30,000', async () => {
  await using t = await testDatabase({ connections: 1 });
  for (let n = 0; n < 8; n++) await sendOne(t.db, await insertDelivery(t.db));
  const other = await insertDelivery(t.db);
  await t.db.query({
    text: `insert into deliveries (notification_id, user_id, channel, tenant, lane, state, steps, step_channel, due_at)
           select $1, 'u' || n, 3, 'default', 2, ${S.QUEUED}, '[{"channel":3,"afterMs":0,"until":"ack"}]', 3, now() + interval '1 hour'
           from generate_series(1, 30000) n`,
    values: [other.notificationId],
  });
  const keys = await Promise.all(Array.from({ length: 10 }, () => insertDelivery(t.db)));
  const before = await blocksRead(t.db);
  for (const key of keys) await sendOne(t.db, key);
  const perDelivery = ((await blocksRead(t.db)) - before) / keys.length;
  expect(perDelivery).toBeGreaterThan(0);
  expect(perDelivery).toBeLessThan(100);
});

it('looks for interrupted calls and waits without reading the backlog of what is queued', async () => {
  await using t = await testDatabase({ connections: 1 });
  const { notificationId } = await insertDelivery(t.db);
  const look = async () => {
    await earliestDueMs(t.db, share);
    await markInterrupted(t.db, share, { count: 64, waitMs: 1_000 });
    await settleAmbiguous(t.db, share, { count: 64, settle: () => 'again' });
    await escalateDue(t.db, handoff, share, 64);
  };
  for (let n = 0; n < 8; n++) await look();
  await t.db.query({
    text: `insert into deliveries (notification_id, user_id, channel, tenant, lane, state, steps, step_channel, due_at)
           select $1, 'u' || n, 3, 'default', 2, ${S.QUEUED}, '[{"channel":3,"afterMs":0,"until":"ack"}]', 3, now() - interval '1 hour'
           from generate_series(1, 30000) n`,
    values: [notificationId],
  });
  const before = await blocksRead(t.db);
  await look();
  expect((await blocksRead(t.db)) - before).toBeLessThan(50);
});
