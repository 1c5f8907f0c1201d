// A mesh that is told to end says so at once wherever somebody looks, lets its clients finish, and is gone in time.
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { expect, onTestFinished, test } from 'vitest';
import { startMesh } from '../cli/compose.ts';
import { hearing } from '../cli/hearing.fixture.ts';
import { allRoles } from '../cli/roles.ts';
import { EdgeService, type SubscribeResponse } from '../gen/carillon/v1/edge_pb.ts';
import { Health, HealthCheckResponse_ServingStatus as Serving } from '../gen/grpc/health/v1/health_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { resolveConfig } from '../runtime/config-load.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import { testDatabase } from './support/database.ts';
import { TEST_SECRET, userHeaders } from './support/tokens.ts';
import { until } from './support/until.ts';

test('health and readiness change at once, clients are sent away, and the end comes in time', async () => {
  await using database = await testDatabase({ connections: 2 });
  const { config } = resolveConfig({
    environment: { CARILLON_POSTGRES_URL: database.url, CARILLON_JWT_SECRET: TEST_SECRET },
    options: { ingestPort: 0, edgePort: 0, routerPort: 0, opsPort: 0, linkPort: 0 },
  });
  await using mesh = await startMesh({ cli: hearing().cli, config, roles: allRoles, log: silentLog });
  const { ingest = '', edge = '', router = '', ops } = mesh.addresses;
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const { signal } = stop;

  const health = new Map<string, Serving[]>();
  for (const baseUrl of [ingest, edge, router]) {
    const said: Serving[] = [];
    health.set(baseUrl, said);
    const client = createClient(Health, createConnectTransport({ baseUrl, httpVersion: '2' }));
    const enough = new AbortController();
    const watch = async () => {
      for await (const { status } of client.watch({}, { signal: AbortSignal.any([signal, enough.signal]) })) {
        said.push(status);
        if (status === Serving.NOT_SERVING) enough.abort();
      }
    };
    void watch().catch(() => {});
  }
  const frames: SubscribeResponse['frame'][] = [];
  const client = createClient(EdgeService, createConnectTransport({ baseUrl: edge, httpVersion: '1.1' }));
  const headers = await userHeaders('ada');
  const subscribe = async () => {
    for await (const { frame } of client.subscribe({}, { headers, signal })) frames.push(frame);
  };
  const streaming = subscribe();
  const serving = [Serving.SERVING];
  await until('greetings', () => frames[0] && [...health.values()].every((said) => said.length > 0));
  expect([...health.values()]).toEqual([serving, serving, serving]);
  const ready = async () => (await fetch(`${ops}/readyz`)).status;
  expect(await ready()).toBe(200);

  const startMs = systemClock.monotonic();
  const ended = mesh[Symbol.asyncDispose]();
  expect(await ready()).toBe(503);
  await ended;
  expect(systemClock.monotonic() - startMs).toBeLessThan(limits.drainMs);
  const over = [Serving.SERVING, Serving.NOT_SERVING];
  expect([...health.values()]).toEqual([over, over, over]);
  await streaming;
  expect(frames.map(({ case: kind }) => kind)).toEqual(['hello', 'goAway']);
  expect(frames[1]).toMatchObject({ value: { reason: 'DRAIN', edge: '' } });
  await expect(fetch(`${ops}/readyz`)).rejects.toThrow();
});
