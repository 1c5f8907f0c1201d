// What the database cannot do now is told apart from what it never will, and nobody's locks hold up the others for long.
import { createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { testDatabase } from '../test/support/database.ts';
import { openDatabase, type Queryable } from './database.ts';

const value = async (db: Queryable, text: string): Promise<unknown> =>
  Object.values((await db.query<Record<string, unknown>>({ text })).rows[0]!)[0];

/** A row that each statement locks for a while, so that two of them in opposite order deadlock. */
async function pairs(db: Queryable): Promise<void> {
  await db.query({ text: 'create table pairs (id integer primary key, count integer not null default 0)' });
  await db.query({ text: 'insert into pairs values (1), (2)' });
  await db.query({
    text: `create function add_both(first integer, last integer) returns void language plpgsql as $$
      begin
        update pairs set count = count + 1 where id = first;
        perform pg_sleep(0.2);
        update pairs set count = count + 1 where id = last;
      end $$`,
  });
}

describe('a deadlock', () => {
  it('is tried again, for a single statement as for a transaction', async () => {
    await using t = await testDatabase();
    await pairs(t.db);
    await Promise.all([
      t.db.query({ text: 'select add_both(1, 2)' }),
      t.db.query({ text: 'select add_both(2, 1)' }),
      t.db.transaction((tx) => tx.query({ text: 'select add_both(2, 1)' })),
    ]);
    expect(await value(t.db, 'select sum(count)::integer from pairs')).toBe(6);
  });
});

describe('a transaction', () => {
  it('whose process stops in the middle loses its locks', async () => {
    await using t = await testDatabase();
    await using slow = openDatabase({ url: t.url, settings: { idle_in_transaction_session_timeout: '200' } });
    await pairs(t.db);
    const locked = Promise.withResolvers<void>();
    const stopped = Promise.withResolvers<void>();
    const holding = slow.transaction(async (tx) => {
      await tx.query({ text: 'update pairs set count = 9 where id = 1' });
      locked.resolve();
      await stopped.promise;
      await tx.query({ text: 'select 1' });
    });
    await locked.promise;
    await t.db.query({ text: 'update pairs set count = 5 where id = 1' });
    stopped.resolve();
    await expect(holding).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE' });
    expect(await value(t.db, 'select count from pairs where id = 1')).toBe(5);
    expect(Number.parseInt(String(await value(t.db, 'show idle_in_transaction_session_timeout')), 10)).toBe(
      10,
    );
  });

  it('does not count as committed when one of its statements had failed', async () => {
    await using t = await testDatabase();
    await pairs(t.db);
    const work = t.db.transaction(async (tx) => {
      await tx.query({ text: 'update pairs set count = 7 where id = 1' });
      await tx.query({ text: 'select 1 / 0' }).catch(() => {});
    });
    await expect(work).rejects.toThrow('ROLLBACK');
  });
});

it('does not prune partitions while a join runs, which brings PostgreSQL 18 down under contention', async () => {
  await using t = await testDatabase();
  expect(await value(t.db, 'show enable_partition_pruning')).toBe('off');
});

describe('STORE_UNAVAILABLE', () => {
  it('is what a server means that is read-only, slow, or waits for a lock', async () => {
    await using t = await testDatabase();
    const refused = (...statements: string[]) =>
      t.db.transaction(async (tx) => {
        for (const text of statements) await tx.query({ text });
      });
    for (const statements of [
      ['set transaction read only', 'create table x (id integer)'],
      ['set local statement_timeout = 50', 'select pg_sleep(10)'],
      [`do $$ begin raise exception 'no space left' using errcode = '53100'; end $$`],
    ])
      await expect(refused(...statements)).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE' });
  });

  it('is a server that is not there, or takes the connection and says nothing', async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => void sockets.add(socket)).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const address = silent.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    await using db = openDatabase({ url: `postgres://x@127.0.0.1:${port}/x`, connectMs: 200 });
    await expect(db.query({ text: 'select 1' })).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE' });
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
    await expect(db.query({ text: 'select 1' })).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE' });
  });

  it('is a server that fell silent in the middle of an answer', async () => {
    await using t = await testDatabase();
    await using db = openDatabase({ url: t.url, answerMs: 200 });
    const asleep = { text: 'select pg_sleep(20)' };
    await expect(db.query(asleep)).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE' });
    await expect(db.transaction((tx) => tx.query(asleep))).rejects.toMatchObject({
      reason: 'STORE_UNAVAILABLE',
    });
    expect(await value(db, 'select 1')).toBe(1);
  });

  it('is not a statement that is wrong', async () => {
    await using t = await testDatabase();
    await expect(t.db.query({ text: 'select nothing' })).rejects.toMatchObject({ code: '42703' });
    await expect(t.db.query({ text: 'select $1::text', values: ['a\0b'] })).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
    });
  });
});
