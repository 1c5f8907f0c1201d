// One topic of one group on Kafka: kafkajs only fetches; handling, offsets and the watch over its life are ours.
//
// kafkajs 2.2.4 waits for all batches of a fetch before it fetches again, commits for partitions that it has lost,
// hands records out twice after a rebalance, and stops without a word. So `eachBatch` only fills the partitions'
// workers and returns; offsets are committed by us, after the effects, for partitions that are ours at that moment;
// and a consumer that crashed, fell silent or lost its session is thrown away and made anew.
import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { ReceivedRecord, SubscribeOptions } from './event-log.ts';
import { groupOf } from './log-admin.kafka.ts';
import { within } from './log-client.kafka.ts';
import { PartitionWorker, type Slots } from './partition-worker.ts';

interface Assigned {
  worker: PartitionWorker;
  /** Finished up to here; undefined: nothing yet. */
  position: bigint | undefined;
  committed: bigint | undefined;
  paused: boolean;
  /** In which assignment records were last taken. */
  generation: number;
}

export interface TopicConsumerOptions {
  kafka: Kafka;
  topic: string;
  subscribe: SubscribeOptions;
  slots: Slots;
  clock: Clock;
  log: Log;
  /** Makes sure of the topic: a broker that lost its data does not know it any more. */
  createTopic(): Promise<void>;
}

export class TopicConsumer {
  readonly #options: TopicConsumerOptions;
  readonly #log: Log;
  readonly #ready = Promise.withResolvers<void>();
  readonly #assigned = new Map<number, Assigned>();
  readonly #draining = new Map<number, Promise<void>>();
  #consumer: Consumer | undefined;
  #memberId = '';
  #generation = 0;
  /** Between "the group is rebalancing" and the new assignment nothing is begun that may be somebody else's soon. */
  #rebalancing = false;
  #lastBeatMs = Number.NEGATIVE_INFINITY;
  #lastSignMs: number;
  #restarting: Promise<void> | undefined;
  #watch: Timer;
  #commitTimer: Timer | undefined;
  #committing: Promise<void> = Promise.resolve();
  readonly #stop = new AbortController();

  constructor(options: TopicConsumerOptions) {
    this.#options = options;
    const { clock, log, topic, subscribe } = options;
    this.#log = log.child({ topic, group: subscribe.group });
    this.#lastSignMs = clock.monotonic();
    this.#watch = clock.every(limits.kafkaWatchMs, () => this.#look());
    this.#restarting = this.#begin().finally(() => {
      this.#restarting = undefined;
    });
  }

  ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Starts a consumer; tries until it works or we are closed. */
  async #begin(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stop.signal.aborted) {
      const consumer = this.#make();
      this.#lastSignMs = clock.monotonic();
      try {
        await this.#options.createTopic();
        await consumer.connect();
        await consumer.subscribe({ topic: this.#options.topic, fromBeginning: true });
        this.#consumer = consumer;
        await consumer.run({
          autoCommit: false,
          eachBatchAutoResolve: false,
          partitionsConsumedConcurrently: 1,
          eachBatch: (payload) => this.#take(consumer, payload),
        });
        // A consumer that cannot join says so by an event only; its handler has dismissed it.
        if (this.#consumer === consumer) return;
      } catch (error) {
        this.#log.debug({ err: error }, 'a consumer of the log did not start; trying again');
        if (this.#consumer === consumer) this.#consumer = undefined;
      }
      await this.#dismiss(consumer);
      await clock.sleep(limits.kafkaRestartMs, this.#stop.signal);
    }
  }

  #make(): Consumer {
    const { kafka, clock, subscribe, topic } = this.#options;
    const consumer = kafka.consumer({
      groupId: groupOf(subscribe.group, topic),
      sessionTimeout: limits.kafkaSessionMs,
      rebalanceTimeout: limits.kafkaRebalanceMs,
      heartbeatInterval: limits.kafkaHeartbeatMs,
      maxWaitTimeInMs: limits.kafkaFetchWaitMs,
      minBytes: 1,
      maxBytesPerPartition: limits.kafkaFetchPartitionBytes,
      maxBytes: limits.kafkaFetchBytes,
      allowAutoTopicCreation: false,
      retry: {
        retries: limits.kafkaRetriesCount,
        initialRetryTime: limits.kafkaRetryMs,
        maxRetryTime: limits.kafkaRetryMaxMs,
        // Its own restart keeps state that we would have to know.
        restartOnFailure: () => Promise.resolve(false),
      },
    });
    const current = (task: () => void) => () => {
      if (this.#consumer === consumer) task();
    };
    const sign = current(() => {
      this.#lastSignMs = clock.monotonic();
    });
    consumer.on(
      consumer.events.HEARTBEAT,
      current(() => {
        this.#lastBeatMs = this.#lastSignMs = clock.monotonic();
      }),
    );
    consumer.on(consumer.events.FETCH, sign);
    consumer.on(
      consumer.events.REBALANCING,
      current(() => {
        this.#rebalancing = true;
        this.#commitNow();
      }),
    );
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      if (this.#consumer === consumer) this.#joined(payload.memberId, payload.memberAssignment[topic] ?? []);
    });
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (this.#consumer === consumer) this.#restart(payload.error, 'a consumer of the log crashed');
    });
    consumer.on(
      consumer.events.STOP,
      current(() => this.#restart(undefined, 'a consumer of the log stopped')),
    );
    return consumer;
  }

  #joined(memberId: string, partitions: readonly number[]): void {
    const { clock } = this.#options;
    this.#lastBeatMs = this.#lastSignMs = clock.monotonic();
    this.#rebalancing = false;
    this.#generation++;
    // With another id we have been away, and others have read on where we were.
    const same = memberId === this.#memberId;
    this.#memberId = memberId;
    for (const [partition, assigned] of [...this.#assigned]) {
      const { worker, paused } = assigned;
      if (!same || !partitions.includes(partition)) this.#drop(partition, worker);
      else if (paused) this.#pause(partition, assigned, true);
      worker.kick();
    }
    this.#ready.resolve();
  }

  #drop(partition: number, worker: PartitionWorker): void {
    this.#assigned.delete(partition);
    const draining = Promise.all([this.#draining.get(partition), worker.stop()]).then(() => {
      if (this.#draining.get(partition) === draining) this.#draining.delete(partition);
    });
    this.#draining.set(partition, draining);
  }

  /** A partition that stays ours over a rebalance is fetched again from its committed offset; the worker passes that over. */
  async #take(
    consumer: Consumer,
    { batch, isRunning, isStale, resolveOffset }: EachBatchPayload,
  ): Promise<void> {
    if (this.#consumer !== consumer || this.#stop.signal.aborted || !isRunning() || isStale()) return;
    const { partition } = batch;
    const [first] = batch.messages;
    if (!first) return;
    const offset = BigInt(first.offset);
    let assigned = this.#assigned.get(partition);
    if (assigned && assigned.generation === this.#generation && offset < assigned.worker.next) {
      // Within one assignment kafkajs only goes back when the log itself did: its data was lost.
      this.#log.warn({ partition, offset: first.offset }, 'a partition of the log begins again');
      this.#drop(partition, assigned.worker);
      assigned = undefined;
    }
    assigned ??= this.#assign(partition, offset);
    const records = batch.messages.map(
      (message): ReceivedRecord => ({
        topic: batch.topic,
        partition,
        offset: BigInt(message.offset),
        key: message.key?.toString() ?? '',
        value: message.value ?? Buffer.alloc(0),
        headers: Object.fromEntries(
          Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value ?? '')]),
        ),
        appendedAtMs: Number(message.timestamp),
      }),
    );
    assigned.worker.offer(records);
    if (BigInt(batch.lastOffset()) < assigned.worker.next) assigned.generation = this.#generation;
    resolveOffset(batch.lastOffset());
    if (assigned.worker.room <= 0) this.#pause(partition, assigned, true);
  }

  #assign(partition: number, position: bigint): Assigned {
    const { topic, subscribe, slots, clock } = this.#options;
    const assigned: Assigned = {
      position: undefined,
      committed: undefined,
      paused: false,
      generation: this.#generation,
      worker: new PartitionWorker({
        topic,
        partition,
        position,
        handler: subscribe,
        slots,
        clock,
        log: this.#log,
        holds: () => !this.#rebalancing && this.#sessionHolds(),
        after: this.#draining.get(partition),
        onProgress: (upto) => {
          assigned.position = upto;
          if (this.#assigned.get(partition) === assigned) this.#commitSoon();
        },
        onRoom: () => {
          if (assigned.paused && this.#assigned.get(partition) === assigned)
            this.#pause(partition, assigned, false);
        },
      }),
    };
    this.#assigned.set(partition, assigned);
    return assigned;
  }

  #pause(partition: number, assigned: Assigned, pause: boolean): void {
    assigned.paused = pause;
    const where = [{ topic: this.#options.topic, partitions: [partition] }];
    try {
      if (pause) this.#consumer?.pause(where);
      else this.#consumer?.resume(where);
    } catch {
      // The consumer is not running any more; the next one begins without pauses.
    }
  }

  #sessionHolds(): boolean {
    return this.#options.clock.monotonic() < this.#lastBeatMs + limits.kafkaSessionMs;
  }

  #commitSoon(): void {
    this.#commitTimer ??= this.#options.clock.after(limits.kafkaCommitDelayMs, () => {
      this.#commitTimer = undefined;
      this.#commitNow();
    });
  }

  #commitNow(): void {
    this.#committing = this.#committing.then(() => this.#commit());
  }

  /** Commits what is ours and finished. The broker checks the generation, but not whose partition it is: we do. */
  async #commit(): Promise<void> {
    const consumer = this.#consumer;
    const due = [...this.#assigned].filter(([, { position, committed }]) => position !== committed);
    if (!consumer || due.length === 0) return;
    const offsets = due.map(([partition, { position }]) => ({ partition, position }));
    try {
      await within(
        this.#options.clock,
        limits.kafkaRequestMs,
        consumer.commitOffsets(
          offsets.map(({ partition, position }) => ({
            topic: this.#options.topic,
            partition,
            offset: `${position ?? 0n}`,
          })),
        ),
      );
      for (const [index, [, assigned]] of due.entries()) assigned.committed = offsets[index]?.position;
    } catch (error) {
      // Tried again with the next progress, or with the next look; in doubt the records come again.
      this.#log.debug({ err: error }, 'offsets of the log were not committed');
    }
  }

  /** Once a second: is the consumer alive, does its session hold? */
  #look(): void {
    if (this.#restarting || this.#stop.signal.aborted) return;
    const silentMs = this.#options.clock.monotonic() - this.#lastSignMs;
    if (silentMs > limits.kafkaSilentMs) this.#restart(undefined, 'a consumer of the log fell silent');
    else if (this.#assigned.size > 0 && !this.#sessionHolds())
      this.#restart(undefined, 'a consumer of the log was away for longer than its session');
    else if ([...this.#assigned.values()].some(({ position, committed }) => position !== committed))
      this.#commitSoon();
  }

  #restart(error: unknown, why: string): void {
    const old = this.#consumer;
    if (!old || this.#stop.signal.aborted) return;
    this.#log.warn({ err: error }, `${why}; making it anew`);
    this.#consumer = undefined;
    for (const [partition, { worker }] of [...this.#assigned]) this.#drop(partition, worker);
    this.#memberId = '';
    this.#rebalancing = false;
    // Within `#begin` its loop goes on by itself.
    if (this.#restarting) return;
    this.#restarting = (async () => {
      await this.#dismiss(old);
      await this.#options.clock.sleep(limits.kafkaRestartMs, this.#stop.signal);
      await this.#begin();
    })().finally(() => {
      this.#restarting = undefined;
    });
  }

  async #dismiss(consumer: Consumer): Promise<void> {
    await within(this.#options.clock, limits.kafkaStopMs, consumer.disconnect()).catch(() => {});
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    const { clock } = this.#options;
    this.#watch[Symbol.dispose]();
    this.#ready.resolve();
    const workers = [...this.#assigned.values()].map(({ worker }) => worker.stop());
    await within(clock, limits.logRevokeMs, Promise.all(workers)).catch(() => {});
    this.#commitTimer?.[Symbol.dispose]();
    this.#commitNow();
    await this.#committing;
    const consumer = this.#consumer;
    this.#consumer = undefined;
    if (consumer) await this.#dismiss(consumer);
    await this.#restarting;
  }
}
