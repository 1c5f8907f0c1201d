// One tree of spans per sampled flow over Kafka and Redis, though the router is killed and started again in the middle.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { openOtlpReceiver, treeFaults } from '../support/otlp-receiver.ts';
import { freePorts, RoleProcess } from '../support/processes.ts';
import { freshStackDatabase } from '../support/stack-database.ts';
import { until } from '../support/until.ts';
import { offlineFlow, onlineFlow } from './flows.ts';

const caller = 'b7ad6b7169203331';
const online = '2af7651916cd43dd8448eb211c80319c';
const offline = '3bf7651916cd43dd8448eb211c80319c';
const onlineSpans = ['Send', 'commit', 'outbox wait', 'log wait', 'plan', 'link', 'frame', 'client ack'];
const offlineSpans = ['Send', 'commit', 'outbox wait', 'log wait', 'plan', 'attempt', 'provider call'];

test('the trees are whole though the router was killed in the middle', async () => {
  const { kafkaBrokers, redisUrl } = inject('stack');
  await using database = await freshStackDatabase();
  await using receiver = await openOtlpReceiver();
  const directory = await mkdtemp(join(tmpdir(), 'carillon-trace-'));
  const ports = (await freePorts(7)).map(String);
  const env = {
    CARILLON_POSTGRES_URL: database.url,
    CARILLON_KAFKA_BROKERS: kafkaBrokers,
    CARILLON_REDIS_URL: redisUrl,
    CARILLON_INGEST_PORT: ports[0],
    CARILLON_EDGE_PORT: ports[1],
    CARILLON_LINK_PORT: ports[2],
    CARILLON_ROUTER_PORT: ports[3],
    CARILLON_WEBHOOK_PORT: ports[4],
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_TRACES_SAMPLER: 'parentbased_always_off',
    CARILLON_LOG_LEVEL: 'warn',
  };
  const role = (name: string) =>
    new RoleProcess(
      name,
      ['serve', name],
      { ...env, CARILLON_OPS_PORT: '0' },
      join(directory, `${name}.log`),
    );
  const router = role('router');
  const roles = [role('ingest'), router, role('edge'), role('providers')];
  try {
    await Promise.all(roles.map((process) => process.start()));
    const mesh = { ingest: `http://127.0.0.1:${ports[0]}`, edge: `http://127.0.0.1:${ports[1]}` };
    const restartRouter = () => router.start();
    await router.kill();
    await onlineFlow(mesh, 'ada', `00-${online}-${caller}-01`, restartRouter);
    await router.kill();
    await offlineFlow(mesh, 'grace', `00-${offline}-${caller}-01`, restartRouter);
    for (const [traceId, names] of [
      [online, onlineSpans],
      [offline, offlineSpans],
    ] as const) {
      const faults = () => treeFaults(receiver.spans(traceId), caller, names);
      await until('whole tree', () => (faults().length === 0 ? true : undefined), 30_000).catch(
        () => undefined,
      );
      expect(faults()).toEqual([]);
    }
  } finally {
    await Promise.all(roles.map((process) => process.end('SIGTERM')));
    await rm(directory, { recursive: true, force: true });
  }
}, 180_000);
