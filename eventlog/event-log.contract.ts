// The suite that every event log must pass: order per key, at least once whatever dies, groups and topics that do not disturb one another.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { Gathered, type LogHarness, ReaderProcess, textOf } from './event-log.harness.ts';
import type { EventLog, LogRecord, ReceivedRecord, SubscribeOptions } from './event-log.ts';

const noPoison = (record: ReceivedRecord, error: unknown) =>
  Promise.reject(new Error(`unexpected dead letter ${textOf(record)}`, { cause: error }));

/** `perKey` records for each of `keys` keys, numbered within their key. */
function numbered(topic: string, keys: number, perKey: number, from = 0): LogRecord[] {
  return Array.from({ length: keys * perKey }, (_, index) => ({
    topic,
    key: `key-${index % keys}`,
    value: Buffer.from(`${from + Math.floor(index / keys)}`),
    headers: { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`, n: `${index}` },
  }));
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => `${index}`);

export function eventLogContract(name: string, makeHarness: () => Promise<LogHarness>): void {
  describe(`event log on ${name}`, { timeout: 90_000 }, () => {
    let harness: LogHarness;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness[Symbol.asyncDispose]());

    const newTopic = async (log: EventLog, lane = 'normal') => {
      const topic = `test.${lane}.${randomUUID()}`;
      await log.createTopics([topic]);
      return topic;
    };
    const subscribe = async (log: EventLog, options: Partial<SubscribeOptions> & { topics: string[] }) => {
      const subscription = await log.subscribe({
        group: `g-${randomUUID()}`,
        onBatch: () => Promise.resolve(),
        onPoison: noPoison,
        ...options,
      });
      await subscription.ready();
      return subscription;
    };
    const reader = (options: { group: string; topics: string[]; mode: 'handle' | 'hold' }, to: Gathered) =>
      new ReaderProcess({ kind: harness.kind, url: harness.url, ...options }, to, 'process');

    test('records of one key are read in the order of their appends, whole and once', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      const got = new Gathered();
      const whole: ReceivedRecord[] = [];
      await log.append(numbered(topic, 20, 10));
      await using _ = await subscribe(log, {
        topics: [topic],
        async onBatch(batch) {
          whole.push(...batch.records);
          await got.handler('a')(batch);
        },
      });
      for (let from = 10; from < 40; from += 10) await log.append(numbered(topic, 20, 10, from));
      await got.until(() => got.count() >= 800);
      expect(got.count()).toBe(800);
      for (let key = 0; key < 20; key++) expect(got.firstSeen(`key-${key}`)).toEqual(upTo(40));
      expect(new Set(whole.map(({ partition }) => partition)).size).toBeGreaterThan(3);
      for (const record of whole) {
        expect(record.headers.traceparent).toHaveLength(55);
        expect(record.topic).toBe(topic);
        expect(record.appendedAtMs).toBeGreaterThan(1_700_000_000_000);
      }
    });

    test('a consumer that is killed before its offset is committed leaves its records to the next', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      const group = `g-${randomUUID()}`;
      const got = new Gathered();
      await log.append(numbered(topic, 10, 10));
      await using dying = reader({ group, topics: [topic], mode: 'hold' }, got);
      await dying.saw('got');
      await dying[Symbol.asyncDispose]();
      expect(got.count('process')).toBeGreaterThan(0);
      const again = new Gathered();
      await using _ = await subscribe(log, { group, topics: [topic], onBatch: again.handler('next') });
      await again.until(() => again.distinct() === 100);
      for (let key = 0; key < 10; key++) expect(again.firstSeen(`key-${key}`)).toEqual(upTo(10));
    });

    test('a consumer that was stopped for longer than its lease is told so, and its batch is not committed', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      const group = `g-${randomUUID()}`;
      const got = new Gathered();
      await log.append(numbered(topic, 4, 5));
      await using zombie = reader({ group, topics: [topic], mode: 'hold' }, got);
      await zombie.saw('got');
      zombie.signal('SIGSTOP');
      const taken = new Gathered();
      await using _ = await subscribe(log, { group, topics: [topic], onBatch: taken.handler('next') });
      await taken.until(() => taken.distinct() === 20);
      zombie.signal('SIGCONT');
      await zombie.saw('aborted');
    });

    test('groups read independently of one another', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      const [one, two] = [new Gathered(), new Gathered()];
      const stuck = Promise.withResolvers<void>();
      await using a = await subscribe(log, { topics: [topic], onBatch: one.handler('one') });
      await using b = await subscribe(log, { topics: [topic], onBatch: two.handler('two') });
      await using c = await subscribe(log, { topics: [topic], onBatch: () => stuck.promise });
      await log.append(numbered(topic, 5, 20));
      await Promise.all([one.until(() => one.count() === 100), two.until(() => two.count() === 100)]);
      stuck.resolve();
      expect([a, b, c]).toHaveLength(3);
    });

    test('two consumers share the partitions; when one leaves, the other takes over', async () => {
      await using log = harness.open();
      await using other = harness.open();
      const topic = await newTopic(log);
      const group = `g-${randomUUID()}`;
      const got = new Gathered();
      await using _ = await subscribe(log, { group, topics: [topic], onBatch: got.handler('a') });
      const leaving = await subscribe(other, { group, topics: [topic], onBatch: got.handler('b') });
      let rounds = 0;
      while (got.count('b') === 0) {
        await log.append(numbered(topic, 32, 1, rounds++));
        await got.until(() => got.distinct() === rounds * 32);
      }
      expect(got.count('a')).toBeGreaterThan(0);
      const appending = log.append(numbered(topic, 32, 10, rounds));
      await leaving[Symbol.asyncDispose]();
      const before = got.count('b');
      await appending;
      await log.append(numbered(topic, 32, 10, rounds + 10));
      await got.until(() => got.distinct() === (rounds + 20) * 32);
      expect(got.count('b')).toBe(before);
      for (let key = 0; key < 32; key++) expect(got.firstSeen(`key-${key}`)).toEqual(upTo(rounds + 20));
    });

    test('when one of two consumers is killed, the other takes over and nothing is lost', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      const group = `g-${randomUUID()}`;
      const got = new Gathered();
      await using _ = await subscribe(log, { group, topics: [topic], onBatch: got.handler('a') });
      await using dying = reader({ group, topics: [topic], mode: 'handle' }, got);
      await dying.saw('ready');
      let rounds = 0;
      while (got.count('process') === 0) {
        await log.append(numbered(topic, 32, 1, rounds++));
        await got.until(() => got.distinct() === rounds * 32);
      }
      await dying[Symbol.asyncDispose]();
      await log.append(numbered(topic, 32, 5, rounds));
      await got.until(() => got.distinct() === (rounds + 5) * 32);
      for (let key = 0; key < 32; key++) expect(got.firstSeen(`key-${key}`)).toEqual(upTo(rounds + 5));
    });

    test('a record that fails is tried again alone, kept after the last try, and harms no other', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      const group = `g-${randomUUID()}`;
      const got = new Gathered();
      let tries = 0;
      const poison: string[] = [];
      await log.append(numbered(topic, 1, 10));
      await using _ = await subscribe(log, {
        group,
        topics: [topic],
        async onBatch(batch) {
          if (batch.records.some((record) => textOf(record) === '4')) {
            if (batch.records.length === 1) tries++;
            throw new Error('cannot be handled');
          }
          await got.handler('a')(batch);
        },
        async onPoison(record, error) {
          expect(String(error)).toContain('cannot be handled');
          poison.push(textOf(record));
        },
      });
      await got.until(() => got.distinct() === 9);
      expect(tries).toBe(limits.logTries);
      expect(poison).toEqual(['4']);
      expect(got.firstSeen('key-0')).toEqual(upTo(10).filter((text) => text !== '4'));
    });

    test('"not now" is no fault of a record: it is tried until it works', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      const got = new Gathered();
      let refusals = limits.logTries + 1;
      await log.append(numbered(topic, 1, 3));
      await using _ = await subscribe(log, {
        topics: [topic],
        async onBatch(batch) {
          if (refusals-- > 0) throw new CarillonError('STORE_UNAVAILABLE');
          await got.handler('a')(batch);
        },
      });
      await got.until(() => got.distinct() === 3);
    });

    test('the lag of a group can be read', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      const group = `g-${randomUUID()}`;
      await log.append(numbered(topic, 8, 5));
      const [before] = await log.lag(group, [topic]);
      expect(before).toMatchObject({ topic, records: 40n });
      expect(before?.oldestMs).toBeGreaterThanOrEqual(0);
      const got = new Gathered();
      const subscription = await subscribe(log, { group, topics: [topic], onBatch: got.handler('a') });
      await got.until(() => got.count() === 40);
      await subscription[Symbol.asyncDispose]();
      expect(await log.lag(group, [topic])).toEqual([{ topic, records: 0n, oldestMs: 0 }]);
    });

    test('a handler that is stuck on bulk leaves critical running, in the same subscription too', async () => {
      await using log = harness.open();
      const [critical, bulk] = [await newTopic(log, 'critical'), await newTopic(log, 'bulk')];
      const got = new Gathered();
      const stuck = Promise.withResolvers<void>();
      await using _ = await subscribe(log, {
        topics: [bulk, critical],
        async onBatch(batch) {
          if (batch.topic === bulk) await stuck.promise;
          await got.handler(batch.topic)(batch);
        },
      });
      await log.append(numbered(bulk, 64, 20));
      await log.append(numbered(critical, 16, 20));
      await got.until(() => got.count(critical) === 320);
      expect(got.count(bulk)).toBe(0);
      stuck.resolve();
      await got.until(() => got.count(bulk) === 64 * 20);
    });

    test('disposing waits for the batch in flight and commits it', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      const group = `g-${randomUUID()}`;
      const begun = Promise.withResolvers<void>();
      const finish = Promise.withResolvers<void>();
      await log.append(numbered(topic, 1, 5));
      const subscription = await subscribe(log, {
        group,
        topics: [topic],
        async onBatch() {
          begun.resolve();
          await finish.promise;
        },
      });
      await begun.promise;
      let disposed = false;
      const disposing = subscription[Symbol.asyncDispose]().then(() => {
        disposed = true;
      });
      await log.append(numbered(topic, 1, 3, 5));
      expect(disposed).toBe(false);
      finish.resolve();
      await disposing;
      await subscription[Symbol.asyncDispose]();
      const got = new Gathered();
      await using _ = await subscribe(log, { group, topics: [topic], onBatch: got.handler('b') });
      await got.until(() => got.count() === 3);
      expect(got.firstSeen('key-0')).toEqual(['5', '6', '7']);
    });

    test('a log that answers says so, and topics may be made again', async () => {
      await using log = harness.open();
      const topic = await newTopic(log);
      await log.createTopics([topic]);
      await log.append([]);
      await log.ping();
    });
  });
}
