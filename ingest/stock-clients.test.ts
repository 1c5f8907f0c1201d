// Every client that people have can send: grpc-js, connect-node in three protocols over both HTTP versions, plain JSON.
import { createClient, type Interceptor, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import { Health, HealthCheckResponse_ServingStatus as Serving } from '../gen/grpc/health/v1/health_pb.ts';
import { isUuid } from '../runtime/ids.ts';
import { carillonError } from '../runtime/wire-errors.ts';
import { type RunningIngest, request, runIngest, stored } from './ingest.fixture.ts';

let ingest: RunningIngest;
beforeAll(async () => {
  ingest = await runIngest();
});
afterAll(() => ingest[Symbol.asyncDispose]());

const transports: Record<string, (options: { baseUrl: string; interceptors: Interceptor[] }) => Transport> = {
  'Connect over HTTP/1.1': (options) => createConnectTransport({ ...options, httpVersion: '1.1' }),
  'Connect over HTTP/2': (options) => createConnectTransport({ ...options, httpVersion: '2' }),
  'Connect with JSON': (options) =>
    createConnectTransport({ ...options, httpVersion: '1.1', useBinaryFormat: false }),
  gRPC: (options) => createGrpcTransport(options),
  'gRPC-Web over HTTP/1.1': (options) => createGrpcWebTransport({ ...options, httpVersion: '1.1' }),
  'gRPC-Web over HTTP/2': (options) => createGrpcWebTransport({ ...options, httpVersion: '2' }),
};

describe.each(Object.entries(transports))('connect-node, %s', (_name, open) => {
  test('sends, is told of a duplicate, and reads the reason of a refusal', async () => {
    const client = createClient(IngestService, open({ baseUrl: ingest.url, interceptors: ingest.signed }));
    const key = crypto.randomUUID();
    const first = await client.send(request(['ada'], { idempotencyKey: key }));
    expect(isUuid(first.notificationId)).toBe(true);
    expect(first.duplicate).toBe(false);
    const again = await client.send(request(['ada'], { idempotencyKey: key }));
    expect(again).toMatchObject({ notificationId: first.notificationId, duplicate: true });
    const error = carillonError(
      await client.send(request(['grace'], { idempotencyKey: key })).catch((e) => e),
    );
    expect(error).toMatchObject({ reason: 'IDEMPOTENCY_KEY_REUSED' });
    const invalid = carillonError(await client.send(request([])).catch((e) => e));
    expect(invalid.reason).toBe('INVALID_REQUEST');
    expect(invalid.violations).toMatchObject([{ field: 'notification.audience.users.ids' }]);
    expect(invalid.message).toContain('notification.audience.users.ids');
  });

  test('watches until it is cancelled', async () => {
    const client = createClient(IngestService, open({ baseUrl: ingest.url, interceptors: ingest.signed }));
    const { notificationId } = await client.send(request(['ada']));
    const states: number[] = [];
    for await (const { status } of client.watchNotification({ notificationId })) {
      states.push(status?.state ?? 0);
      if (states.length === 1) await client.cancel({ notificationId });
    }
    expect(states[0]).toBe(2);
    expect(states.at(-1)).toBe(5);
  });

  test('finds the service healthy', async () => {
    const health = createClient(Health, open({ baseUrl: ingest.url, interceptors: ingest.signed }));
    const { status } = await health.check({ service: 'carillon.v1.IngestService' });
    expect(status).toBe(Serving.SERVING);
    const unknown = carillonError(await health.check({ service: 'nobody' }).catch((e) => e));
    expect(unknown.reason).toBe('SERVICE_UNKNOWN');
  });
});

describe('grpc-js', () => {
  test('sends, is told of a duplicate, and reads the reason of a refusal', async () => {
    const { client } = ingest;
    const first = await client.send(request(['ada'], { idempotencyKey: 'grpc-js' }));
    expect(isUuid(first.notificationId)).toBe(true);
    const again = await client.send(request(['ada'], { idempotencyKey: 'grpc-js' }));
    expect(again).toMatchObject({ notificationId: first.notificationId, duplicate: true });
    const error = carillonError(
      await client.send(request(['x'], { idempotencyKey: 'grpc-js' })).catch((e) => e),
    );
    expect(error.reason).toBe('IDEMPOTENCY_KEY_REUSED');
    const invalid = carillonError(await client.send(request([''])).catch((e) => e));
    expect(invalid.violations).toMatchObject([{ field: 'notification.audience.users.ids[0]' }]);
  });
});

describe('plain JSON, as curl sends it', () => {
  const post = (method: string, body: unknown) =>
    fetch(`${ingest.url}/carillon.v1.IngestService/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...ingest.headers },
      body: JSON.stringify(body),
    });

  test('sends and looks it up', async () => {
    const response = await post('Send', {
      notification: {
        audience: { users: { ids: ['ada'] } },
        content: { title: 'Hi' },
        lane: 'LANE_CRITICAL',
        ttl: '60s',
      },
      idempotencyKey: 'curl',
    });
    expect(response.status).toBe(200);
    const { notificationId } = (await response.json()) as { notificationId: string };
    const status = await (await post('GetNotification', { notificationId })).json();
    expect(status).toMatchObject({
      status: {
        state: 'NOTIFICATION_STATE_ACCEPTED',
        lane: 'LANE_CRITICAL',
        category: 'default',
        recipients: 1,
      },
    });
  });

  test('is told of a mistyped field, with a reason', async () => {
    const before = await stored(ingest.db);
    const response = await post('Send', { notificaton: {} });
    expect(response.status).toBe(400);
    const error = (await response.json()) as { message: string; details: { debug: { reason: string } }[] };
    expect(error.message).toContain('notificaton');
    expect(error.details[0]?.debug.reason).toBe('INVALID_REQUEST');
    expect(await stored(ingest.db)).toEqual(before);
  });
});
