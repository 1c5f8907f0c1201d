// A reader in a process of its own, so that a test can kill or stop it: prints a JSON line for everything that happens to it.
import { systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { openDatabase } from '../storage/database.ts';
import { PostgresEventLog } from './event-log.postgres.ts';
import type { Batch, EventLog } from './event-log.ts';

export interface FixtureOptions {
  kind: 'postgres' | 'kafka';
  /** Connection string, or `host:port` of a broker. */
  url: string;
  group: string;
  topics: readonly string[];
  /** `hold`: never finishes a batch. */
  mode: 'handle' | 'hold';
}

export interface FixtureLine {
  event: 'ready' | 'got' | 'aborted';
  records?: { key: string; text: string }[];
}

const say = (line: FixtureLine) => process.stdout.write(`${JSON.stringify(line)}\n`);

async function openLog({ kind, url }: FixtureOptions): Promise<EventLog> {
  if (kind === 'postgres') return new PostgresEventLog({ db: openDatabase({ url }), log: silentLog });
  const { KafkaEventLog } = await import('./event-log.kafka.ts');
  return new KafkaEventLog({ brokers: url, log: silentLog });
}

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2] ?? '{}') as FixtureOptions;
  const log = await openLog(options);
  const onBatch = async ({ records, signal }: Batch) => {
    say({
      event: 'got',
      records: records.map(({ key, value }) => ({ key, text: Buffer.from(value).toString() })),
    });
    if (options.mode === 'handle') return;
    await systemClock.sleep(3_600_000, signal);
    say({ event: 'aborted' });
    throw new Error('the partition is not ours any more');
  };
  const subscription = await log.subscribe({
    group: options.group,
    topics: options.topics,
    onBatch,
    onPoison: () => Promise.resolve(),
  });
  await subscription.ready();
  say({ event: 'ready' });
}

await main();
