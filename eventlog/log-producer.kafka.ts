// Produces with acks from all replicas, each lane on a connection of its own; a producer that failed is made anew.
import { CompressionTypes, type Kafka, Partitioners, type Producer } from 'kafkajs';
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { LogRecord } from './event-log.ts';
import { kafkaError, kafkaErrorType, within } from './log-client.kafka.ts';
import { laneOfTopic } from './topics.ts';

export class KafkaProducers implements AsyncDisposable {
  readonly #kafka: Kafka;
  readonly #clock: Clock;
  readonly #missing: (topics: readonly string[]) => Promise<void>;
  readonly #producers = new Map<Lane, Promise<Producer>>();

  /** `missing`: called with topics that the broker does not know, before the append is refused as LOG_UNAVAILABLE. */
  constructor(kafka: Kafka, clock: Clock, missing: (topics: readonly string[]) => Promise<void>) {
    this.#kafka = kafka;
    this.#clock = clock;
    this.#missing = missing;
  }

  async append(records: readonly LogRecord[]): Promise<void> {
    const lanes = Map.groupBy(records, (record) => laneOfTopic(record.topic));
    await Promise.all([...lanes].map(([lane, of]) => this.#send(lane, of)));
  }

  async #send(lane: Lane, records: readonly LogRecord[]): Promise<void> {
    const topics = Map.groupBy(records, (record) => record.topic);
    const producing = this.#producer(lane);
    try {
      const producer = await producing;
      // The bound is for a broker that is reached and does not answer: each try may take that long.
      const tries = limits.kafkaProduceRetriesCount + 1;
      await within(
        this.#clock,
        tries * (limits.kafkaProduceMs + limits.kafkaRetryMaxMs),
        producer.sendBatch({
          acks: -1,
          timeout: limits.kafkaProduceMs,
          compression: CompressionTypes.None,
          topicMessages: [...topics].map(([topic, of]) => ({
            topic,
            messages: of.map(({ key, value, headers }) => ({
              key,
              value: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
              headers: { ...headers },
              timestamp: `${this.#clock.now()}`,
            })),
          })),
        }),
      );
    } catch (error) {
      this.#discard(lane, producing);
      if (kafkaErrorType(error) === 'UNKNOWN_TOPIC_OR_PARTITION')
        await this.#missing([...topics.keys()]).catch(() => {});
      throw kafkaError(error);
    }
  }

  #producer(lane: Lane): Promise<Producer> {
    const known = this.#producers.get(lane);
    if (known) return known;
    const made = this.#connect();
    this.#producers.set(lane, made);
    return made;
  }

  async #connect(): Promise<Producer> {
    const producer = this.#kafka.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      retry: {
        retries: limits.kafkaProduceRetriesCount,
        initialRetryTime: limits.kafkaRetryMs,
        maxRetryTime: limits.kafkaRetryMaxMs,
      },
    });
    await producer.connect();
    return producer;
  }

  /** One topic that is gone, or one stale connection, spoils a producer for all that it sends (kafkajs issue 1622). */
  #discard(lane: Lane, producing: Promise<Producer>): void {
    if (this.#producers.get(lane) === producing) this.#producers.delete(lane);
    producing.then((producer) => producer.disconnect()).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const producers = [...this.#producers.values()];
    this.#producers.clear();
    const gone = Promise.allSettled(
      producers.map(async (producing) => {
        await (await producing).disconnect();
      }),
    );
    await within(this.#clock, limits.kafkaStopMs, gone).catch(() => {});
  }
}
