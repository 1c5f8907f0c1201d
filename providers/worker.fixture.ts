// A provider worker for tests: time moves by hand, records are pushed by hand, providers answer as they are told.
import { create, toBinary } from '@bufbuild/protobuf';
import type { EventLog, LogRecord, ReceivedRecord, SubscribeOptions } from '../eventlog/event-log.ts';
import { channelTopic, userKey } from '../eventlog/topics.ts';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import {
  Channel,
  type DeliveryState,
  DeliveryStateSchema,
  Lane,
} from '../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { silentLog } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import type { DeliveryKey } from '../storage/delivery-row.ts';
import { testDatabase } from '../test/support/database.ts';
import { seeRow } from '../test/support/delivery-rows.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { until } from '../test/support/until.ts';
import { testCatalog } from './catalog.fixture.ts';
import type { Message, Outcome, Provider, SentMessage } from './provider.ts';
import { type ProviderWorkerOptions, startProviderWorker } from './worker.ts';

/** A log that hands on what is pushed, and nothing else. */
export class PushedLog implements EventLog {
  readonly #subscribers: SubscribeOptions[] = [];

  async push(records: readonly LogRecord[]): Promise<void> {
    for (const subscriber of this.#subscribers) {
      const received = records
        .filter((record) => subscriber.topics.includes(record.topic))
        .map(
          (record, index): ReceivedRecord => ({
            ...record,
            partition: 0,
            offset: BigInt(index),
            appendedAtMs: systemClock.now(),
          }),
        );
      if (received.length > 0)
        await subscriber.onBatch({
          topic: received[0]!.topic,
          partition: 0,
          records: received,
          signal: new AbortController().signal,
        });
    }
  }

  async subscribe(options: SubscribeOptions) {
    this.#subscribers.push(options);
    return {
      ready: () => Promise.resolve(),
      [Symbol.asyncDispose]: async () => {
        this.#subscribers.splice(this.#subscribers.indexOf(options), 1);
      },
    };
  }

  createTopics = () => Promise.resolve();
  append = (records: readonly LogRecord[]) => this.push(records);
  lag = () => Promise.resolve([]);
  ping = () => Promise.resolve();
  [Symbol.asyncDispose] = () => Promise.resolve();
}

/** A handoff whose committed records arrive on the log at once. */
export class PushingHandoff extends RecordingHandoff {
  readonly #log: PushedLog;
  constructor(log: PushedLog) {
    super();
    this.#log = log;
  }
  override async write(_tx: unknown, records: readonly LogRecord[]) {
    return {
      committed: () => {
        this.committed.push(...records);
        void this.#log.push(records);
      },
    };
  }
}

/** Answers by a function, and remembers every call. Takes messages back only where it is given a `clear`. */
export class FakeProvider implements Provider {
  readonly calls: Message[] = [];
  clear?: (sent: SentMessage) => Promise<Outcome>;
  answer: (message: Message, call: number) => Outcome | Promise<Outcome>;
  readonly name: string;
  readonly channel: Channel;

  constructor(
    name: string,
    answer: FakeProvider['answer'] = () => ({ kind: 'sent', messageId: 'm' }),
    channel: Channel = Channel.EMAIL,
  ) {
    this.name = name;
    this.answer = answer;
    this.channel = channel;
  }

  serves(address: Message['address']): boolean {
    const kinds = { email: Channel.EMAIL, phone: Channel.SMS, device: Channel.PUSH } as const;
    return kinds[address.kind] === this.channel;
  }

  async send(message: Message): Promise<Outcome> {
    this.calls.push(message);
    return await this.answer(message, this.calls.length);
  }

  [Symbol.asyncDispose] = () => Promise.resolve();
}

export function recordOf(
  key: DeliveryKey,
  {
    lane = Lane.NORMAL,
    stepChannel = key.channel,
    traceparent = '',
  }: { lane?: Lane; stepChannel?: Channel; traceparent?: string } = {},
): LogRecord {
  return {
    topic: channelTopic(stepChannel, lane),
    key: userKey('default', key.userId),
    value: toBinary(
      ChannelRecordSchema,
      create(ChannelRecordSchema, {
        tenant: 'default',
        notificationId: key.notificationId,
        userId: key.userId,
        planChannel: key.channel,
      }),
    ),
    headers: traceparent === '' ? {} : { traceparent },
  };
}

export type Opened = Awaited<ReturnType<typeof openWorker>>;

/** `options` over a worker on a database of its own, whose clock stands still. */
export async function openWorker(
  options: Partial<ProviderWorkerOptions> & Pick<ProviderWorkerOptions, 'providers'>,
  shared?: Pick<Awaited<ReturnType<typeof testDatabase>>, 'db'>,
) {
  const t = shared ? { db: shared.db, [Symbol.asyncDispose]: () => Promise.resolve() } : await testDatabase();
  const clock = new ManualClock(systemClock.now());
  const log = new PushedLog();
  const handoff = new PushingHandoff(log);
  const metrics = createMetrics();
  const worker = await startProviderWorker({
    db: t.db,
    open: testCatalog(t.db).catalog.open,
    log,
    handoff,
    node: 'node-1',
    onPoison: (_record, error) => Promise.reject(error),
    metrics,
    logger: silentLog,
    clock,
    ids: { uuid: systemIds.uuid, random: () => 0.5 },
    now: () => new Date(clock.now()),
    ...options,
  });
  return {
    db: t.db,
    clock,
    log,
    handoff,
    metrics,
    worker,
    /** Waits until the row is in `state`. */
    reaches: (key: DeliveryKey, state: DeliveryState) =>
      until(`row in state ${DeliveryStateSchema.value[state]?.localName}`, async () => {
        const row = await seeRow(t.db, key);
        return row.state === state ? row : undefined;
      }),
    /** Moves time on until the row is due, and then by looks of the due loop until `arrived`. */
    async passes<T>(ms: number, what: string, arrived: () => Promise<T | undefined> | T | undefined) {
      clock.advance(ms);
      return until(what, async () => {
        const answer = await arrived();
        if (answer === undefined) clock.advance(250);
        return answer;
      });
    },
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]();
      await t[Symbol.asyncDispose]();
    },
  };
}
