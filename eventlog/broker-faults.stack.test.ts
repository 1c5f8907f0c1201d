// A broker that is killed or stands still harms nobody for longer than that: nothing is lost, order holds, all goes on by itself.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Stack, startStack } from '../deploy/stack/stack.ts';
import { readState } from '../deploy/stack/state.ts';
import { silentLog } from '../runtime/log.ts';
import { signalProcess } from '../runtime/process-identity.ts';
import { testDatabase } from '../test/support/database.ts';
import { Gathered } from './event-log.harness.ts';
import { KafkaEventLog } from './event-log.kafka.ts';
import type { LogRecord } from './event-log.ts';
import { OutboxHandoff } from './handoff.outbox.ts';

// One of its own: the others' must stay up.
let stack: Stack;
beforeAll(async () => {
  stack = await startStack({});
});
afterAll(() => stack?.stop());

const KEYS = 8;

/** A way from a transaction to a consumer. */
async function openWay() {
  const t = await testDatabase();
  const eventLog = new KafkaEventLog({ brokers: stack.kafkaBrokers, log: silentLog });
  const handoff = new OutboxHandoff({ db: t.db, eventLog, log: silentLog });
  const topic = `test.normal.${randomUUID()}`;
  await eventLog.createTopics([topic]);
  const got = new Gathered();
  const poison: unknown[] = [];
  const subscription = await eventLog.subscribe({
    group: 'g',
    topics: [topic],
    onBatch: got.handler('a'),
    onPoison: async (_, error) => {
      poison.push(error);
    },
  });
  await subscription.ready();
  let sent = 0;
  return {
    eventLog,
    handoff,
    got,
    poison,
    get sent() {
      return sent;
    },
    /** One record for each key, in a transaction of its own. */
    async send(rounds: number): Promise<void> {
      for (let round = 0; round < rounds; round++) {
        const records = Array.from(
          { length: KEYS },
          (_, key): LogRecord => ({
            topic,
            key: `key-${key}`,
            value: Buffer.from(`${sent}`),
            headers: {},
          }),
        );
        const written = await t.db.transaction((tx) => handoff.write(tx, records));
        written.committed();
        sent++;
      }
    },
    async waiting(): Promise<number> {
      const { rows } = await t.db.query<{ n: number }>({ text: 'select count(*)::integer n from outbox' });
      return rows[0]?.n ?? -1;
    },
    async [Symbol.asyncDispose]() {
      await handoff[Symbol.asyncDispose]();
      await subscription[Symbol.asyncDispose]();
      await eventLog[Symbol.asyncDispose]();
      await t[Symbol.asyncDispose]();
    },
  };
}

type Way = Awaited<ReturnType<typeof openWay>>;

async function allArrive(way: Way): Promise<void> {
  await way.got.until(() => way.got.distinct() === way.sent * KEYS);
  for (let key = 0; key < KEYS; key++)
    expect(way.got.firstSeen(`key-${key}`)).toEqual(Array.from({ length: way.sent }, (_, n) => `${n}`));
  expect(way.poison).toEqual([]);
  await expect.poll(() => way.waiting(), { timeout: 10_000 }).toBe(0);
}

test('a broker that is killed and comes back', { timeout: 180_000 }, async () => {
  await using way = await openWay();
  await way.send(50);
  await allArrive(way);
  const sending = way.send(200);
  await stack.kafka.kill();
  await sending;
  await way.send(100);
  await expect(way.eventLog.ping()).rejects.toMatchObject({ reason: 'LOG_UNAVAILABLE' });
  expect(await way.waiting()).toBeGreaterThan(0);
  await expect.poll(() => way.handoff.backlog().bytes, { timeout: 5_000 }).toBeGreaterThan(0);
  await stack.kafka.start();
  await allArrive(way);
  // And at the old speed again.
  await way.send(50);
  await allArrive(way);
});

test('a broker that is restarted in order, under load', { timeout: 180_000 }, async () => {
  await using way = await openWay();
  const sending = way.send(500);
  await stack.kafka.stop();
  await stack.kafka.start();
  await sending;
  await allArrive(way);
});

test('a broker that stands still for longer than a session', { timeout: 180_000 }, async () => {
  await using way = await openWay();
  await way.send(50);
  await allArrive(way);
  const broker = (await readState(stack.directory))?.kafka.process;
  if (!broker) throw new Error('there is no broker');
  await signalProcess(broker, 'SIGSTOP');
  try {
    await way.send(100);
    await expect(way.eventLog.ping()).rejects.toMatchObject({ reason: 'LOG_UNAVAILABLE' });
    // Until the outbox has seen it too: from then on everything goes by the sweep.
    await expect.poll(() => way.handoff.backlog().oldestMs, { timeout: 60_000 }).toBeGreaterThan(15_000);
  } finally {
    await signalProcess(broker, 'SIGCONT');
  }
  await way.send(50);
  await allArrive(way);
});
