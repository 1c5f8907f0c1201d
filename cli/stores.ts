// Opens what the mesh stands on, as the configuration says: PostgreSQL, the event log, and who is where.
import { resolve } from 'node:path';
import { KafkaEventLog } from '../eventlog/event-log.kafka.ts';
import { PostgresEventLog } from '../eventlog/event-log.postgres.ts';
import type { EventLog, Handoff } from '../eventlog/event-log.ts';
import { OutboxHandoff } from '../eventlog/handoff.outbox.ts';
import { PostgresHandoff } from '../eventlog/handoff.postgres.ts';
import type { Config } from '../runtime/config.ts';
import { maskUrl } from '../runtime/config-load.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { type Log, silentLog } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Tracing } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import { startEmbeddedPostgres } from '../storage/embedded-postgres.ts';
import type { Cli } from './cli.ts';

/** The configured PostgreSQL, or one of our own in the data directory, which `owned` stops. */
export async function openPostgres(
  cli: Cli,
  config: Config,
  owned: AsyncDisposableStack,
  log?: Log,
): Promise<string> {
  if (config.postgresUrl) return config.postgresUrl;
  const dataDir = resolve(cli.directory, config.dataDir);
  const embedded = await startEmbeddedPostgres({
    dataDir,
    signal: cli.signal,
    // Its launcher's own words say that it died; the server's lines are for who looks for them.
    log: (line) => (/^PostgreSQL |PANIC: /.test(line) ? log?.warn(line) : log?.debug({ line }, 'postgres')),
  }).catch((cause: unknown) => {
    if (!isFileError(cause)) throw cause;
    throw new CarillonError(
      'CONFIG_INVALID',
      `The data directory ${dataDir} cannot be used: ${cause.message}. Choose another one with --data or CARILLON_DATA_DIR.`,
      { cause },
    );
  });
  owned.use(embedded);
  return embedded.url;
}

const isFileError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'path' in error && 'code' in error;

/** No such database, no such role, a wrong password, not let in: SQLSTATE classes that only a person can change. */
const REFUSED = /^(3D|28)/;

/**
 * What the first statements on the configured PostgreSQL failed with, as a sentence that says which server and why.
 * STORE_UNAVAILABLE when nobody answers, CONFIG_INVALID when it answers and refuses; others as they are.
 */
export function firstContactError(error: unknown, { postgresUrl }: Config): unknown {
  if (!postgresUrl || !(error instanceof Error)) return error;
  const cause = error instanceof CarillonError && error.cause instanceof Error ? error.cause : error;
  const code = 'code' in cause ? String(cause.code) : '';
  // All addresses of a name failed: the sentence is in its parts.
  const why =
    cause instanceof AggregateError ? cause.errors.map(({ message }) => message).join(', ') : cause.message;
  const server = `PostgreSQL at ${maskUrl(postgresUrl)} (CARILLON_POSTGRES_URL)`;
  if (REFUSED.test(code))
    return new CarillonError('CONFIG_INVALID', `${server} refuses the connection: ${why}.`, { cause });
  if (/^E[A-Z_]+$/.test(code) || (error instanceof CarillonError && error.reason === 'STORE_UNAVAILABLE'))
    return new CarillonError('STORE_UNAVAILABLE', `${server} does not answer: ${why}.`, { cause });
  return error;
}

export interface LogParts {
  db: Database;
  log: Log;
  cli: Cli;
  ids: Ids;
  metrics: Metrics;
  tracing: Tracing;
}

/** Kafka with an outbox before it, or PostgreSQL, where an append is part of the transaction. */
export async function openEventLog(
  config: Config,
  { db, log, cli, ids, metrics, tracing }: LogParts,
  owned: AsyncDisposableStack,
): Promise<{ eventLog: EventLog; handoff: Handoff }> {
  const { clock } = cli;
  if (config.kafkaBrokers) {
    const eventLog = owned.use(new KafkaEventLog({ brokers: config.kafkaBrokers.join(','), log, clock }));
    const handoff = owned.use(new OutboxHandoff({ db, eventLog, log, clock, ids, metrics, tracing }));
    return { eventLog, handoff };
  }
  const eventLog = owned.use(new PostgresEventLog({ db, log, clock, ids }));
  return { eventLog, handoff: owned.use(new PostgresHandoff({ eventLog, log, clock })) };
}
/** Rejects when no broker answers. */
export async function probeKafka(brokers: readonly string[]): Promise<void> {
  await using eventLog = new KafkaEventLog({ brokers: brokers.join(','), log: silentLog });
  await eventLog.ping();
}
