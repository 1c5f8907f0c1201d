// One tree of spans per sampled flow, in a receiver that is not ours, for the mesh in one process.
import { expect, test } from 'vitest';
import { openOtlpReceiver, treeFaults } from '../support/otlp-receiver.ts';
import { startRunningMesh } from '../support/running-mesh.ts';
import { until } from '../support/until.ts';
import { offlineFlow, onlineFlow } from './flows.ts';

const caller = 'b7ad6b7169203331';
const online = '0af7651916cd43dd8448eb211c80319c';
const offline = '1bf7651916cd43dd8448eb211c80319c';
const onlineSpans = ['Send', 'commit', 'log wait', 'plan', 'link', 'frame', 'client ack'];
const offlineSpans = ['Send', 'commit', 'log wait', 'plan', 'attempt', 'provider call'];

test('a flow to a client and a flow to a mailbox are one whole tree each', async () => {
  await using receiver = await openOtlpReceiver();
  await using mesh = await startRunningMesh({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_TRACES_SAMPLER: 'parentbased_always_off',
  });
  await onlineFlow(mesh, 'ada', `00-${online}-${caller}-01`);
  await offlineFlow(mesh, 'grace', `00-${offline}-${caller}-01`);
  for (const [traceId, names] of [
    [online, onlineSpans],
    [offline, offlineSpans],
  ] as const) {
    const faults = () => treeFaults(receiver.spans(traceId), caller, names);
    await until('whole tree', () => (faults().length === 0 ? true : undefined), 15_000).catch(
      () => undefined,
    );
    expect(faults()).toEqual([]);
  }
});

test('a flow that nobody samples sends no span', async () => {
  await using receiver = await openOtlpReceiver();
  await using mesh = await startRunningMesh({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_TRACES_SAMPLER: 'parentbased_always_off',
  });
  await onlineFlow(mesh, 'ada', `00-${online}-${caller}-00`);
  await onlineFlow(mesh, 'ada', `00-${offline}-${caller}-01`);
  await until('sampled flow', () =>
    receiver.spans(offline).some(({ name }) => name === 'client ack') ? true : undefined,
  );
  expect(receiver.spans(online)).toEqual([]);
});
