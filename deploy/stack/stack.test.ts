// Talks to a real PostgreSQL, Kafka and Redis of the stack: answers, data over stops and kills, and nothing left behind.
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import kafkajs from 'kafkajs';
import pg from 'pg';
import { createClient } from 'redis';
import { expect, test } from 'vitest';
import { processStart } from '../../runtime/process-identity.ts';
import { mismatch } from './kafka-jars.ts';
import { type Stack, stackStatus, startStack } from './stack.ts';

const run = promisify(execFile);

async function select(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function redisSay(url: string, ...command: string[]): Promise<unknown> {
  const client = createClient({ url });
  await client.connect();
  try {
    return await client.sendCommand(command);
  } finally {
    client.destroy();
  }
}

const kafkaClient = (brokers: string) =>
  new kafkajs.Kafka({ brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING });

async function produce(brokers: string, topic: string, value: string): Promise<void> {
  const producer = kafkaClient(brokers).producer();
  await producer.connect();
  await producer.send({ topic, acks: -1, messages: [{ key: 'user-1', value }] });
  await producer.disconnect();
}

/** The first `count` values of a topic, read by a new group. */
async function consume(brokers: string, topic: string, groupId: string, count: number): Promise<string[]> {
  const consumer = kafkaClient(brokers).consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const values: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  await consumer.run({
    eachMessage: async ({ message }) => {
      values.push(String(message.value));
      if (values.length === count) resolve();
    },
  });
  await promise;
  await consumer.disconnect();
  return values;
}

async function pids(stack: Stack): Promise<number[]> {
  const status = (await stackStatus(stack.directory)) ?? [];
  return status.map(({ pid }) => pid ?? 0);
}

test('the three answer, keep their data over a stop and over a kill, and leave nothing behind', async () => {
  const stack = await startStack();
  const { postgresUrl, kafkaBrokers, redisUrl } = stack;
  const before = await pids(stack);
  expect(before).toHaveLength(3);

  const admin = kafkaClient(kafkaBrokers).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: 'bells', numPartitions: 3 }], waitForLeaders: true });
  await admin.disconnect();
  await produce(kafkaBrokers, 'bells', 'one');
  await select(postgresUrl, 'CREATE TABLE kept AS SELECT 7 AS n');
  await redisSay(redisUrl, 'SET', 'bell', 'rings');

  await Promise.all([stack.kafka.stop(), stack.postgres.stop(), stack.redis.stop()]);
  for (const pid of before) expect(await processStart(pid)).toBeUndefined();
  await expect(select(postgresUrl, 'SELECT 1')).rejects.toThrow('ECONNREFUSED');
  await Promise.all([stack.kafka.start(), stack.postgres.start(), stack.redis.start()]);

  await produce(kafkaBrokers, 'bells', 'two');
  await Promise.all([stack.kafka.kill(), stack.postgres.kill()]);
  await Promise.all([stack.kafka.start(), stack.postgres.start(), stack.redis.start()]);
  expect(await consume(kafkaBrokers, 'bells', 'ringers', 2)).toEqual(['one', 'two']);
  expect(await select(postgresUrl, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  expect(await redisSay(redisUrl, 'GET', 'bell')).toBe('rings');

  const after = await pids(stack);
  expect(after.every((pid) => pid > 0)).toBe(true);
  await stack.stop();
  await stack.stop();
  for (const pid of after) expect(await processStart(pid)).toBeUndefined();
  await expect(readdir(stack.directory)).rejects.toThrow('ENOENT');
});

test('up prints three lines and returns, says the same again, and down ends what it started', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'carillon-stack-cli-'));
  const stack = (...args: string[]) =>
    run(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args, '--dir', directory]);
  try {
    // Two at once: the second one waits for the first and finds everything up.
    const [first, second] = await Promise.all([stack('up'), stack('up')]);
    expect(first.stdout).toMatch(
      /^CARILLON_POSTGRES_URL=postgres:\/\/\S+\nCARILLON_KAFKA_BROKERS=127\.0\.0\.1:\d+\nCARILLON_REDIS_URL=redis:\/\/127\.0\.0\.1:\d+\n$/,
    );
    expect(second.stdout).toBe(first.stdout);
    const url = /CARILLON_POSTGRES_URL=(.*)/.exec(first.stdout)?.[1] ?? '';
    expect(await select(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await expect(select(url.replace(/:[0-9a-f]+@/, ':wrong@'), 'SELECT 1')).rejects.toThrow(
      'password authentication failed',
    );

    await stack('kill', 'redis');
    await expect(stack('status')).rejects.toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^redis down$/m),
    });
    const { services } = JSON.parse((await stack('status', '--json').catch((error) => error)).stdout);
    await stack('down');
    for (const { pid } of services) if (pid) expect(await processStart(pid)).toBeUndefined();
    expect(await readdir(directory)).toEqual([]);
  } finally {
    await stack('down');
    await rm(directory, { recursive: true, force: true });
  }
});

test('a jar that is missing, changed or not in the lock is named', async () => {
  const { jars } = JSON.parse(await readFile(join(import.meta.dirname, 'kafka.lock.json'), 'utf8'));
  const [name = ''] = Object.keys(jars);
  const { [name]: _, ...others } = jars;
  expect(mismatch(jars, jars)).toBeUndefined();
  expect(mismatch(others, jars)).toBe(`missing: ${name}`);
  expect(mismatch({ ...jars, 'more.jar': 'x' }, jars)).toBe('not in the lock: more.jar');
  expect(mismatch({ ...jars, [name]: 'x' }, jars)).toBe(`another SHA-256 than the lock says: ${name}`);
});
