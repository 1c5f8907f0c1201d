// Providers in this process: those that tenants configured; for the others SMTP when it is set, and else the sandbox.
import { keepDeadLetters } from '../eventlog/dead-letters.ts';
import { channelName, channelTopic } from '../eventlog/topics.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import type { Provider } from '../providers/provider.ts';
import { sandboxProvider } from '../providers/sandbox.ts';
import { smtpProvider } from '../providers/smtp.ts';
import { providerGroup, startProviderWorker } from '../providers/worker.ts';
import type { Config } from '../runtime/config.ts';
import type { Database } from '../storage/database.ts';
import { openCatalog } from './catalog.ts';
import { type Stage, stagesOf } from './housekeeping.ts';
import { joined, openRoleDatabase, type Parts } from './parts.ts';

const CHANNELS = [Channel.PUSH, Channel.EMAIL, Channel.SMS] as const;

/** For the gauge of lags. */
export const providerStages: readonly Stage[] = CHANNELS.flatMap((channel) =>
  stagesOf(channelName(channel), (lane) => ({
    group: providerGroup(channel, lane),
    topics: [channelTopic(channel, lane)],
  })),
);

/** For tenants that configured none in a channel. Throws CONFIG_INVALID for an SMTP URL that cannot be used. */
function configuredProviders(config: Config, db: Database): Provider[] {
  const providers: Provider[] = [
    sandboxProvider({ db, channel: Channel.PUSH }),
    sandboxProvider({ db, channel: Channel.SMS }),
  ];
  providers.push(
    config.smtpUrl ? smtpProvider({ url: config.smtpUrl }) : sandboxProvider({ db, channel: Channel.EMAIL }),
  );
  return providers;
}

/** What it opens is closed by `owned`; calls in flight are waited for. */
export async function serveProviders(parts: Parts, owned: AsyncDisposableStack): Promise<void> {
  const { config, clock, ids, log, metrics, tracing, eventLog, handoff, node } = parts;
  const db = owned.use(openRoleDatabase(parts, 'providers'));
  const worker = owned.use(
    await startProviderWorker({
      db,
      log: eventLog,
      handoff,
      providers: configuredProviders(config, db),
      open: openCatalog(parts, db).catalog.open,
      node,
      onPoison: keepDeadLetters(db, 'providers'),
      retryMs: config.providerRetryMs,
      // The embedded PostgreSQL belongs to one process.
      alone: config.postgresUrl === undefined,
      metrics,
      tracing,
      logger: log,
      clock,
      ids,
    }),
  );
  await joined(parts, 'providers', worker.ready());
}
