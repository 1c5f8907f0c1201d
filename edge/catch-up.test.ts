// Whoever missed a hundred thousand items gets them page by page: memory stays flat, and neighbours do not wait for it.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { fromBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { SubscribeResponseSchema } from '../gen/carillon/v1/edge_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { seedInbox } from '../test/support/inbox-rows.ts';
import { FakeStream } from './client-stream.fixture.ts';
import { helloed, testMesh } from './edge.fixture.ts';

const MISSED = 100_000;
const NEIGHBOURS = 20;
const MIB = 2 ** 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** A client that reads slowly: it takes what waits only when it is left alone. Counts frames rather than keep them. */
class CountingStream extends FakeStream {
  mostHeld = 0;
  #held = 0;
  seq = -1;
  readonly #drains: (() => void)[] = [];
  readonly #done = Promise.withResolvers<void>();
  #goal = 0;

  override send(head: Uint8Array, tail?: Uint8Array): void {
    this.#held += head.length + (tail?.length ?? 0);
    this.mostHeld = Math.max(this.mostHeld, this.#held);
    const { frame } = fromBinary(SubscribeResponseSchema, Buffer.concat(tail ? [head, tail] : [head]));
    if (frame.case === 'deliver' && frame.value.seq !== this.seq + 1 && this.seq >= 0)
      this.#done.reject(new Error(`${frame.value.seq} came after ${this.seq}`));
    if (frame.case === 'deliver') this.seq = frame.value.seq;
    if (this.seq === this.#goal) this.#done.resolve();
  }
  override get bufferedBytes(): number {
    return this.#held;
  }
  override onDrain(listener: () => void): void {
    this.#drains.push(listener);
    setImmediate(() => {
      this.#held = 0;
      for (const drained of this.#drains.splice(0)) drained();
    });
  }
  reached(seq: number): Promise<void> {
    this.#goal = seq;
    return this.#done.promise;
  }
}

test(`${MISSED} missed items are taken in turns with the neighbours', in flat memory`, async () => {
  const { db, edge } = await testMesh();
  const { subscribe } = await edge();
  const { cursor } = await helloed(subscribe());
  const ids = await seedInbox(db, { users: ['ada'], count: 50 });
  await db.query({
    text: `insert into inbox_items (tenant, user_id, seq, first_seq, notification_id, created_at)
           select 'default', 'ada', n, n, ($1::uuid[])[1 + n % 50], now() from generate_series(51, $2::int) n`,
    values: [ids, MISSED],
  });
  await db.query({ text: `update inbox_heads set head = $1 where user_id = 'ada'`, values: [MISSED] });
  const neighbours = Array.from({ length: NEIGHBOURS }, (_, at) => `bob${at}`);
  const cursors = await Promise.all(
    neighbours.map(async (userId) => (await helloed(subscribe({}, userId))).cursor),
  );
  await seedInbox(db, { users: neighbours });
  collect();
  const before = process.memoryUsage();
  const stream = new CountingStream();
  const startMs = systemClock.monotonic();
  subscribe(cursor, 'ada', stream);
  const all = stream.reached(MISSED);
  let mostHeap = 0;
  let mostMs = 0;
  for (const [at, userId] of neighbours.entries()) {
    // All along the way, and not only at its beginning.
    while (stream.seq < (at * MISSED * 0.9) / NEIGHBOURS) await new Promise(setImmediate);
    const fromMs = systemClock.monotonic();
    const neighbour = subscribe({ cursor: cursors[at] }, userId);
    await neighbour.until((frames) => frames.some((frame) => frame.case === 'deliver'));
    mostMs = Math.max(mostMs, systemClock.monotonic() - fromMs);
    // Each was served while the large one was still under way.
    expect(stream.seq).toBeLessThan(MISSED);
    collect();
    mostHeap = Math.max(mostHeap, process.memoryUsage().heapUsed - before.heapUsed);
  }
  const last = stream.seq;
  await all;
  const tookMs = systemClock.monotonic() - startMs;
  collect();
  const after = process.memoryUsage();
  expect(stream.mostHeld).toBeLessThan(limits.streamBufferBytes + 1_000);
  expect(mostHeap).toBeLessThan(32 * MIB);
  process.stdout.write(
    `${MISSED} items in ${(tookMs / 1_000).toFixed(1)} s: at most ${Math.round(stream.mostHeld / 1_024)} KiB waited for the client, ` +
      `the heap grew by at most ${(mostHeap / MIB).toFixed(1)} MiB, RSS by ${((after.rss - before.rss) / MIB).toFixed(0)} MiB; ` +
      `${NEIGHBOURS} neighbours resumed along the way, the last at item ${last}, each within ${Math.round(mostMs)} ms\n`,
  );
}, 60_000);
