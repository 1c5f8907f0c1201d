// What is asked of the brokers beside records: that topics exist, how far groups have come, whether anybody answers.
import type { Admin, Kafka } from 'kafkajs';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Lag } from './event-log.ts';
import { kafkaError, kafkaErrorType, within } from './log-client.kafka.ts';

/**
 * Each topic has a consumer group of its own: kafkajs shares partitions out as if every member read every topic, and
 * a rebalance of one lane would stop the others.
 */
export const groupOf = (group: string, topic: string): string => `${group}.${topic}`;

/** Replicas, and how many of them must have a record, where there are enough brokers. */
const REPLICAS = 3;
const IN_SYNC = 2;

/** Ages to which the oldest record is looked up, in steps of a half: what is asked is "is it getting worse". */
const AGES_MS: readonly number[] = Array.from({ length: 38 }, (_, step) => Math.round(250 * 1.5 ** step));

interface Behind {
  partition: number;
  /** The first offset that is not finished. */
  from: bigint;
  records: bigint;
}

export class KafkaAdmin implements AsyncDisposable {
  readonly #kafka: Kafka;
  readonly #clock: Clock;
  #admin: Promise<Admin> | undefined;

  constructor(kafka: Kafka, clock: Clock) {
    this.#kafka = kafka;
    this.#clock = clock;
  }

  async #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    this.#admin ??= this.#connect();
    const connecting = this.#admin;
    try {
      return await within(this.#clock, limits.kafkaRequestMs, connecting.then(question));
    } catch (error) {
      if (this.#admin === connecting) this.#admin = undefined;
      connecting.then((admin) => admin.disconnect()).catch(() => {});
      throw kafkaError(error);
    }
  }

  async #connect(): Promise<Admin> {
    const admin = this.#kafka.admin();
    await admin.connect();
    return admin;
  }

  async createTopics(topics: readonly string[]): Promise<void> {
    await this.#ask(async (admin) => {
      const existing = new Set(await admin.listTopics());
      const missing = [...new Set(topics)].filter((topic) => !existing.has(topic));
      if (missing.length === 0) return;
      const { brokers } = await admin.describeCluster();
      const replicated = brokers.length >= REPLICAS;
      try {
        await admin.createTopics({
          waitForLeaders: true,
          topics: missing.map((topic) => ({
            topic,
            numPartitions: limits.logPartitionsCount,
            replicationFactor: replicated ? REPLICAS : -1,
            configEntries: replicated ? [{ name: 'min.insync.replicas', value: `${IN_SYNC}` }] : [],
          })),
        });
      } catch (error) {
        // Another process was making them at the same time.
        const others = error instanceof Error && 'errors' in error ? (error.errors as unknown[]) : [error];
        if (others.some((each) => kafkaErrorType(each) !== 'TOPIC_ALREADY_EXISTS')) throw error;
      }
      await Promise.all(missing.map((topic) => this.#answers(admin, topic)));
    });
  }

  /** The controller names leaders some milliseconds before these know of it: a first produce would be sent twice. */
  async #answers(admin: Admin, topic: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await admin.fetchTopicOffsets(topic);
        return;
      } catch (error) {
        if (tries >= limits.kafkaLeaderTriesCount) throw error;
        await this.#clock.sleep(limits.kafkaRetryMs);
      }
    }
  }

  async ping(): Promise<void> {
    await this.#ask((admin) => admin.describeCluster());
  }

  async lag(group: string, topics: readonly string[]): Promise<Lag[]> {
    return await this.#ask((admin) => Promise.all(topics.map((topic) => this.#lagOf(admin, group, topic))));
  }

  async #lagOf(admin: Admin, group: string, topic: string): Promise<Lag> {
    const [ends, [committed]] = await Promise.all([
      admin.fetchTopicOffsets(topic),
      admin.fetchOffsets({ groupId: groupOf(group, topic), topics: [topic] }),
    ]);
    const positions = new Map(committed?.partitions.map((each) => [each.partition, BigInt(each.offset)]));
    const behind: Behind[] = [];
    for (const { partition, low, high } of ends) {
      const position = positions.get(partition) ?? -1n;
      const from = position < BigInt(low) ? BigInt(low) : position;
      if (BigInt(high) > from) behind.push({ partition, from, records: BigInt(high) - from });
    }
    const records = behind.reduce((sum, each) => sum + each.records, 0n);
    return { topic, records, oldestMs: records === 0n ? 0 : await this.#oldest(admin, topic, behind) };
  }

  /** The least of AGES_MS that no unfinished record is older than. */
  async #oldest(admin: Admin, topic: string, behind: readonly Behind[]): Promise<number> {
    const nowMs = this.#clock.now();
    let [low, high] = [0, AGES_MS.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      const ageMs = AGES_MS[middle] ?? 0;
      const since = await admin.fetchTopicOffsetsByTimestamp(topic, nowMs - ageMs);
      const first = new Map(since.map((each) => [each.partition, BigInt(each.offset)]));
      const older = behind.some(({ partition, from }) => {
        const offset = first.get(partition);
        return offset === undefined || offset < 0n || offset > from;
      });
      if (older) low = middle + 1;
      else high = middle;
    }
    return AGES_MS[low] ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const admin = this.#admin;
    this.#admin = undefined;
    if (!admin) return;
    await within(
      this.#clock,
      limits.kafkaStopMs,
      admin.then((each) => each.disconnect()),
    ).catch(() => {});
  }
}
