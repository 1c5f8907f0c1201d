// Probes and scrapers hear the truth: ready only while every store answers, and at once when a drain begins.
import { expect, test } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { testDatabase } from '../test/support/database.ts';
import { openOpsPort } from './ops-port.ts';
import { databaseCheck, Readiness } from './readiness.ts';

test('the pages say what the checks say', async () => {
  let failing = false;
  const news: boolean[] = [];
  using readiness: Readiness = new Readiness({
    needed: ['database', 'log'],
    checks: {
      database: () => (failing ? Promise.reject(new Error('it is gone')) : Promise.resolve()),
      log: () => Promise.resolve(),
      other: () => Promise.reject(new Error('not needed here')),
    },
    clock: systemClock,
    log: silentLog,
    onNews: () => news.push(readiness.answers('database')),
  });
  await using port = await openOpsPort({
    host: '127.0.0.1',
    port: 0,
    metrics: createMetrics(),
    readiness,
    log: silentLog,
  });
  const get = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${port.port}${path}`, init);
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      body: await response.text(),
    };
  };

  expect((await get('/readyz')).status).toBe(503);
  await readiness.start();
  expect(await get('/readyz')).toMatchObject({
    status: 200,
    body: '{"ready":true,"checks":{"database":"ok","log":"ok","other":"not needed here"}}\n',
  });
  failing = true;
  await readiness.ask();
  expect(await get('/readyz')).toMatchObject({
    status: 503,
    body: expect.stringContaining('"database":"it is gone"'),
  });
  expect(await get('/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
  failing = false;
  await readiness.ask();
  readiness.drain();
  expect(await get('/readyz')).toMatchObject({ status: 503, body: expect.stringContaining('shutting down') });
  expect(news).toEqual([true, false, true, false]);

  // What is no URL is a page that is not there, too.
  expect((await get('//')).status).toBe(404);
  const metrics = await get('/metrics');
  expect(metrics.type).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(metrics.body).toContain('carillon_edge_streams 0');
  expect((await get('/nothing')).status).toBe(404);
  expect((await get('/metrics', { method: 'POST' })).status).toBe(405);
  expect((await get('/metrics', { method: 'HEAD' })).body).toBe('');
});

test('a store that says nothing at all is not ready after the time it has', async () => {
  const clock = new ManualClock();
  using readiness = new Readiness({
    checks: { log: () => new Promise(() => {}) },
    needed: ['log'],
    clock,
    log: silentLog,
  });
  const asked = readiness.ask();
  clock.advance(1_500);
  await asked;
  expect(readiness.report()).toEqual({ ready: false, checks: { log: 'no answer within 1500 ms' } });
});

test('a database that takes writes is ready, one that is read-only is not', async () => {
  await using t = await testDatabase({ connections: 1 });
  await databaseCheck(t.db)();
  await t.db.query({ text: 'set default_transaction_read_only = on' });
  await expect(databaseCheck(t.db)()).rejects.toThrow('read-only');
});

test('the look at the database writes a file of its own: a full disk is seen', async () => {
  await using t = await testDatabase({ connections: 1 });
  await t.db.query({ text: 'set temp_file_limit = 64' });
  using readiness = new Readiness({
    checks: { database: databaseCheck(t.db) },
    needed: ['database'],
    clock: systemClock,
    log: silentLog,
  });
  await readiness.ask();
  expect(readiness.report().checks.database).toMatch(/temporary file size/);
});
