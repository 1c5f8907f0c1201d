// The event log on Apache Kafka: every topic of a subscription has its own consumer, so that lanes never wait for one another.
import type { Kafka } from 'kafkajs';
import { type Clock, systemClock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { EventLog, Lag, LogRecord, SubscribeOptions, Subscription } from './event-log.ts';
import { KafkaAdmin } from './log-admin.kafka.ts';
import { kafkaClient } from './log-client.kafka.ts';
import { TopicConsumer } from './log-consumer.kafka.ts';
import { KafkaProducers } from './log-producer.kafka.ts';
import { Slots } from './partition-worker.ts';

export interface KafkaEventLogOptions {
  /** `host:port`, separated by commas. */
  brokers: string;
  log: Log;
  clock?: Clock;
}

export class KafkaEventLog implements EventLog {
  readonly #kafka: Kafka;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #admin: KafkaAdmin;
  readonly #producers: KafkaProducers;
  readonly #consumers = new Set<TopicConsumer>();
  #closing: Promise<void> | undefined;

  constructor({ brokers, log, clock = systemClock }: KafkaEventLogOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#kafka = kafkaClient({ brokers, log, clock });
    this.#admin = new KafkaAdmin(this.#kafka, clock);
    this.#producers = new KafkaProducers(this.#kafka, clock, (topics) => this.#admin.createTopics(topics));
  }

  createTopics(topics: readonly string[]): Promise<void> {
    return this.#admin.createTopics(topics);
  }

  append(records: readonly LogRecord[]): Promise<void> {
    return this.#producers.append(records);
  }

  /** Does not need a broker: where there is none yet, `ready()` waits for it. */
  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    const consumers = [...new Set(options.topics)].map((topic) => {
      const consumer = new TopicConsumer({
        kafka: this.#kafka,
        topic,
        subscribe: options,
        slots: new Slots(),
        clock: this.#clock,
        log: this.#log,
        createTopic: () => this.#admin.createTopics([topic]),
      });
      this.#consumers.add(consumer);
      return consumer;
    });
    let closing: Promise<void> | undefined;
    return {
      ready: async () => {
        await Promise.all(consumers.map((consumer) => consumer.ready()));
      },
      [Symbol.asyncDispose]: () => {
        closing ??= this.#close(consumers);
        return closing;
      },
    };
  }

  async #close(consumers: Iterable<TopicConsumer>): Promise<void> {
    await Promise.all(
      [...consumers].map(async (consumer) => {
        await consumer.close();
        this.#consumers.delete(consumer);
      }),
    );
  }

  lag(group: string, topics: readonly string[]): Promise<Lag[]> {
    return this.#admin.lag(group, topics);
  }

  ping(): Promise<void> {
    return this.#admin.ping();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= (async () => {
      await this.#close(this.#consumers);
      await Promise.all([this.#producers[Symbol.asyncDispose](), this.#admin[Symbol.asyncDispose]()]);
    })();
    return this.#closing;
  }
}
