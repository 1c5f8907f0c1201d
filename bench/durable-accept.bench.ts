// G9: how many single requests go to disk in a second through the commit queue, with their keys and outbox rows.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import pg from 'pg';
import type { Handoff } from '../eventlog/event-log.ts';
import { laneOfTopic } from '../eventlog/topics.ts';
import { NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { entryOf } from '../storage/accept.ts';
import { AcceptQueue } from '../storage/accept-queue.ts';
import { type Database, openDatabase } from '../storage/database.ts';
import { startEmbeddedPostgres } from '../storage/embedded-postgres.ts';
import { migrate } from '../storage/migrate.ts';
import { insertOutbox } from '../storage/outbox.ts';
import { ensurePartitions } from '../storage/partitions.ts';
import { type Bench, type BenchContext, median, type Row } from './bench.ts';

const WAITING = 1_024;
const SECONDS = 2;
/** More than any machine accepts in one measurement; made once, since every measurement begins with empty tables. */
const ENTRIES = 200_000;
const payload = Buffer.alloc(291, 'x');

/** The rows of the outbox are part of what is durable; publishing them is not what is measured. */
function outboxRowsOnly(): Handoff {
  let id = '';
  return {
    async write(tx, records) {
      const now = systemClock.now();
      const rows = records.map((record) => {
        id = systemIds.uuid();
        return { ...record, id, lane: laneOfTopic(record.topic), createdAtMs: now, leaseEndMs: 0 };
      });
      await insertOutbox(tx, rows, 'bench', new Set());
      return { committed: () => {} };
    },
    backlog: () => ({ bytes: 0, oldestMs: 0 }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function offer(): Parameters<typeof entryOf>[0] {
  const id = systemIds.uuid();
  return {
    tenant: 'default',
    key: `bench-${id}`,
    id,
    traceparent: undefined,
    notification: create(NotificationSchema, {
      category: 'orders',
      audience: { kind: { case: 'users', value: { ids: [`user-${id.slice(-6)}`] } } },
      content: { title: 'Your order is on its way', body: 'b'.repeat(160), data: { order: 'o-4711' } },
    }),
  };
}

/** Keeps `waiting` calls of `one` under way for a while; resolves with how many ended in a second. */
async function perSecond(waiting: number, one: () => Promise<number>): Promise<number> {
  const startMs = systemClock.monotonic();
  let count = 0;
  const worker = async () => {
    while (systemClock.monotonic() - startMs < SECONDS * 1_000) {
      const accepted = await one();
      count += accepted;
    }
  };
  await Promise.all(Array.from({ length: waiting }, worker));
  return count / ((systemClock.monotonic() - startMs) / 1_000);
}

/** Latencies in ms of single requests that come at an even pace, whatever the answers do. */
async function latencies(rate: number, one: () => Promise<number>): Promise<number[]> {
  const startMs = systemClock.monotonic();
  const taken: number[] = [];
  const open: Promise<void>[] = [];
  for (let sent = 0; systemClock.monotonic() - startMs < SECONDS * 1_000; ) {
    const due = Math.floor(((systemClock.monotonic() - startMs) / 1_000) * rate);
    for (; sent < due; sent++) {
      const begunMs = systemClock.monotonic();
      open.push(one().then(() => void taken.push(systemClock.monotonic() - begunMs)));
    }
    await systemClock.sleep(1);
  }
  await Promise.all(open);
  return taken.toSorted((a, b) => a - b);
}

const REFERENCE = `
create table bench_accepted (id uuid primary key, tenant text not null, key text not null, hash bytea not null, payload bytea not null,
                             created_at timestamptz not null default now(), unique (tenant, key));
create table bench_outbox (id bigint generated always as identity primary key, topic text not null, key text not null, value bytea not null)`;

const SINGLE = `
with stored as (
  insert into bench_accepted (id, tenant, key, hash, payload) values ($1, 'default', $2, $3, $4) on conflict (tenant, key) do nothing returning id
) insert into bench_outbox (topic, key, value) select 'carillon.raw.normal', $2, $3 from stored`;

const MANY = `
with offered as (select * from unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[]) as o(id, key, hash, payload)), stored as (
  insert into bench_accepted (id, tenant, key, hash, payload) select id, 'default', key, hash, payload from offered
  on conflict (tenant, key) do nothing returning id, key, hash
) insert into bench_outbox (topic, key, value) select 'carillon.raw.normal', key, hash from stored`;

/** The plain ways to do it: one row a commit from 64 clients, and 500 rows a commit on four connections. */
async function references(
  url: string,
): Promise<{ single(): Promise<number>; many(): Promise<number> } & AsyncDisposable> {
  const hash = Buffer.alloc(32, 'h');
  const clients = new pg.Pool({ connectionString: url, max: 64 });
  const four = new pg.Pool({ connectionString: url, max: 4 });
  // They are ended before the server is; what it says to them then is of no interest.
  for (const pool of [clients, four]) pool.on('error', () => undefined);
  await four.query(REFERENCE);
  return {
    single: () =>
      perSecond(64, async () => {
        const id = systemIds.uuid();
        await clients.query({ name: 'single', text: SINGLE, values: [id, `bench-${id}`, hash, payload] });
        return 1;
      }),
    many: () =>
      perSecond(4, async () => {
        const ids = Array.from({ length: 500 }, () => systemIds.uuid());
        const keys = ids.map((id) => `bench-${id}`);
        await four.query({
          name: 'many',
          text: MANY,
          values: [ids, keys, ids.map(() => hash), ids.map(() => payload)],
        });
        return ids.length;
      }),
    async [Symbol.asyncDispose]() {
      await clients.end();
      await four.end();
    },
  };
}

async function clear(database: Database): Promise<void> {
  await database.query({
    text: 'truncate notifications, idempotency_keys, outbox, bench_accepted, bench_outbox',
  });
  await database.query({ text: 'checkpoint' });
}

async function run({ rounds, progress }: BenchContext): Promise<Row[]> {
  const dataDir = await mkdtemp(join(tmpdir(), 'carillon-bench-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const postgres = stack.use(await startEmbeddedPostgres({ dataDir }));
  const database = stack.use(openDatabase({ url: postgres.url }));
  await migrate(database);
  await ensurePartitions(database, systemClock.now());
  const reference = stack.use(await references(postgres.url));
  const queue = stack.use(new AcceptQueue({ database, handoff: outboxRowsOnly() }));
  // The queue is measured, not what comes before it: that is G7.
  const entries = Array.from({ length: ENTRIES }, () => entryOf(offer(), systemClock.now()));
  let next = 0;
  const accept = () => {
    const entry = entries[next++];
    if (!entry) throw new Error(`more than ${ENTRIES} were accepted in one measurement`);
    return queue.accept(entry).then(() => 1);
  };

  const ours: number[] = [];
  const single: number[] = [];
  const many: number[] = [];
  const p99: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    next = 0;
    const measured = {
      ours: await perSecond(WAITING, accept),
      single: await reference.single(),
      many: await reference.many(),
    };
    await clear(database);
    next = 0;
    const taken = await latencies(measured.ours / 2, accept);
    await clear(database);
    // The first round warms everything up.
    if (round === 0) continue;
    ours.push(measured.ours);
    single.push(measured.single);
    many.push(measured.many);
    p99.push(taken[Math.floor(taken.length * 0.99)] ?? Number.POSITIVE_INFINITY);
    progress(
      `round ${round} of ${rounds}: ours ${Math.round(measured.ours)}/s, single rows ${Math.round(measured.single)}/s, ` +
        `4 × 500 ${Math.round(measured.many)}/s, p99 at half load ${p99.at(-1)!.toFixed(1)} ms`,
    );
  }
  const row = (name: string, other: number[], target: number): Row => {
    const ratio = median(ours.map((value, round) => value / other[round]!));
    return {
      goal: 'G9',
      name,
      ours: median(ours),
      other: median(other),
      unit: 'accepted/s',
      ratio,
      target,
      ok: ratio >= target,
    };
  };
  const slowest = median(p99);
  return [
    row(`durable accept, ${WAITING} waiting, against single rows from 64 clients`, single, 4),
    row(`durable accept, ${WAITING} waiting, against 4 × 500 rows by unnest`, many, 0.55),
    {
      goal: 'G9',
      name: 'p99 of one accept at half load, against 15 ms',
      ours: slowest,
      other: 15,
      unit: 'ms',
      ratio: 15 / slowest,
      target: 1,
      ok: slowest <= 15,
    },
  ];
}

export const bench: Bench = {
  name: 'durable-accept',
  goals: ['G9'],
  about:
    'single requests accepted per second at the commit queue, on PostgreSQL with fsync: idempotency key, notification and outbox row each; ' +
    'against the same rows (fewer columns, no conflict returned) one a commit from 64 clients, and 500 a commit on four connections.',
  run,
};
