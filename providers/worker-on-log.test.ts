// A worker on the event log that a mesh has: records of committed transactions arrive, a failed push becomes a mail.
import { expect, it } from 'vitest';
import { PostgresEventLog } from '../eventlog/event-log.postgres.ts';
import { PostgresHandoff } from '../eventlog/handoff.postgres.ts';
import { allTopics } from '../eventlog/topics.ts';
import { Channel, DeliveryState as S } from '../gen/carillon/v1/notification_pb.ts';
import { silentLog } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertDelivery, insertUser, seeAttempts, seeRow } from '../test/support/delivery-rows.ts';
import { until } from '../test/support/until.ts';
import { testCatalog } from './catalog.fixture.ts';
import { startMailServer } from './mail-server.fixture.ts';
import { sandboxProvider } from './sandbox.ts';
import { smtpProvider } from './smtp.ts';
import { recordOf } from './worker.fixture.ts';
import { startProviderWorker } from './worker.ts';

it('a push to a device that is gone arrives as a mail, once, and a retry comes when it is due', async () => {
  let refusals = 1;
  await using server = await startMailServer({
    onMessage: () => (refusals-- > 0 ? { code: 451, text: '4.3.0 later' } : undefined),
  });
  await using t = await testDatabase();
  await using eventLog = new PostgresEventLog({ db: t.db, log: silentLog });
  await eventLog.createTopics(allTopics);
  await using handoff = new PostgresHandoff({ eventLog, log: silentLog });
  await using worker = await startProviderWorker({
    db: t.db,
    open: testCatalog(t.db).catalog.open,
    log: eventLog,
    handoff,
    providers: [
      sandboxProvider({ db: t.db, channel: Channel.PUSH }),
      smtpProvider({ url: `smtp://127.0.0.1:${server.port}?from=news@mesh.example` }),
    ],
    node: 'one',
    onPoison: (_record, error) => Promise.reject(error),
    retryMs: [200],
    metrics: createMetrics(),
    logger: silentLog,
  });
  await worker.ready();
  await insertUser(t.db, { tokens: ['sandbox:unregistered'] });
  const key = await insertDelivery(t.db, { channels: [Channel.PUSH, Channel.EMAIL] });
  const written = await t.db.transaction((tx) => handoff.write(tx, [recordOf(key)]));
  written.committed();
  await until('sent mail', async () => ((await seeRow(t.db, key)).state === S.SENT ? true : undefined));
  expect((await seeAttempts(t.db, key)).map(({ provider, outcome }) => `${provider} ${outcome}`)).toEqual([
    'sandbox permanent',
    'smtp transient',
    'smtp sent',
  ]);
  expect(server.mails).toHaveLength(1);
});
