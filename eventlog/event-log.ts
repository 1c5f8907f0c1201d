// The port to the event log: records with a key, read in order per key by independent groups, each at least once.
import type { Queryable } from '../storage/database.ts';

export interface LogRecord {
  topic: string;
  /** Records of one key are read in the order in which they were appended. */
  key: string;
  /** protobuf (gen/carillon/v1/event_pb.ts): ids, never content. */
  value: Uint8Array;
  /** At least `traceparent`, when there is one. */
  headers: Readonly<Record<string, string>>;
}

export interface ReceivedRecord extends LogRecord {
  partition: number;
  offset: bigint;
  /** When it was appended, milliseconds since the epoch. */
  appendedAtMs: number;
}

/** The records of one partition, in order, at most `limits.logBatchRecords`. */
export interface Batch {
  topic: string;
  partition: number;
  records: readonly ReceivedRecord[];
  /** Aborts when the partition is no longer this consumer's, or the consumer stops: stop as soon as possible. */
  signal: AbortSignal;
}

export interface SubscribeOptions {
  group: string;
  topics: readonly string[];
  /**
   * Called for one batch per partition at a time; its offsets are committed after it resolves. When it rejects, the
   * records are tried one by one, each up to `limits.logTries` times; one that still fails goes to `onPoison` and its offset moves.
   */
  onBatch(batch: Batch): Promise<void>;
  /** Keeps what could not be handled (a dead-letter row). Must have stored it when it resolves. */
  onPoison(record: ReceivedRecord, error: unknown): Promise<void>;
}

export interface Subscription extends AsyncDisposable {
  /** Resolves once this consumer has been assigned partitions (or learned that there are none for it). */
  ready(): Promise<void>;
}

export interface Lag {
  topic: string;
  /** Records appended and not yet committed by the group. */
  records: bigint;
  /** Age of the oldest of them, milliseconds; 0 when there is none. */
  oldestMs: number;
}

export interface EventLog extends AsyncDisposable {
  /** Makes sure that the topics exist. */
  createTopics(topics: readonly string[]): Promise<void>;
  /** Resolves when the records are durable on the log. */
  append(records: readonly LogRecord[]): Promise<void>;
  /** Starts reading. Disposing it waits for batches in flight, commits their offsets, and gives the partitions back. */
  subscribe(options: SubscribeOptions): Promise<Subscription>;
  lag(group: string, topics: readonly string[]): Promise<Lag[]>;
  /** Resolves when the log answers; rejects with LOG_UNAVAILABLE when it does not. */
  ping(): Promise<void>;
}

/**
 * How records that belong to a transaction get onto the log. On Kafka they wait in the outbox and a relay publishes
 * them after the commit; on PostgreSQL the append is part of the transaction and `committed` only wakes the readers.
 */
export interface Handoff extends AsyncDisposable {
  /** Writes the records inside the caller's transaction; call it last, since it may lock the log's heads. */
  write(tx: Queryable, records: readonly LogRecord[]): Promise<Written>;
  /** What waits to be published (or, where there is no outbox, to be read), by a sample that is at most 2 s old. */
  backlog(): Backlog;
}

export interface Backlog {
  bytes: number;
  oldestMs: number;
}

export interface Written {
  /** To be called after the commit: publishes, or wakes. Never throws and never waits. */
  committed(): void;
}
