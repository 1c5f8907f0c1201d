// One tree of spans per sampled flow over Kafka and Redis, though the router is killed and started again in the middle.
import { expect, test } from 'vitest';
import { type OtlpReceiver, openOtlpReceiver, treeFaults } from '../support/otlp-receiver.ts';
import { startRunningCluster } from '../support/running-cluster.ts';
import { until } from '../support/until.ts';
import { offlineFlow, onlineFlow } from './flows.ts';

const caller = 'b7ad6b7169203331';
const online = '2af7651916cd43dd8448eb211c80319c';
const offline = '3bf7651916cd43dd8448eb211c80319c';
const onlineSpans = ['Send', 'commit', 'outbox wait', 'log wait', 'plan', 'link', 'frame', 'client ack'];
const offlineSpans = ['Send', 'commit', 'outbox wait', 'log wait', 'plan', 'attempt', 'provider call'];

async function whole(receiver: OtlpReceiver, traceId: string, names: readonly string[]): Promise<void> {
  const faults = () => treeFaults(receiver.spans(traceId), caller, names);
  await until('whole tree', () => faults().length === 0 || undefined).catch(() => undefined);
  expect(faults()).toEqual([]);
}

test('the trees are whole though the router was killed in the middle', async () => {
  await using receiver = await openOtlpReceiver();
  await using cluster = await startRunningCluster({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_TRACES_SAMPLER: 'parentbased_always_off',
  });
  const router = cluster.roles.find(({ name }) => name === 'router')!;
  await router.kill();
  await onlineFlow(cluster, 'ada', `00-${online}-${caller}-01`, () => router.start());
  // Before the next kill: spans wait in the process for a moment before they are sent.
  await whole(receiver, online, onlineSpans);
  await router.kill();
  await offlineFlow(cluster, 'grace', `00-${offline}-${caller}-01`, () => router.start());
  await whole(receiver, offline, offlineSpans);
}, 180_000);
