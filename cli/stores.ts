// Opens what the mesh stands on, as the configuration says: PostgreSQL, the event log, and who is where.
import { resolve } from 'node:path';
import { KafkaEventLog } from '../eventlog/event-log.kafka.ts';
import { PostgresEventLog } from '../eventlog/event-log.postgres.ts';
import type { EventLog, Handoff } from '../eventlog/event-log.ts';
import { OutboxHandoff } from '../eventlog/handoff.outbox.ts';
import { PostgresHandoff } from '../eventlog/handoff.postgres.ts';
import type { Config } from '../runtime/config.ts';
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
  const embedded = await startEmbeddedPostgres({
    dataDir: resolve(cli.directory, config.dataDir),
    signal: cli.signal,
    log: (line) => log?.debug({ line }, 'postgres'),
  });
  owned.use(embedded);
  return embedded.url;
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
