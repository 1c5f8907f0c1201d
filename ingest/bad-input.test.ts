// Whatever is sent to the ingest port: a clear status with a reason, the process unharmed, nothing half-stored.
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ExplainRequestSchema,
  GetNotificationRequestSchema,
  IngestService,
  PublishRequestSchema,
  SendBatchRequestSchema,
  SendRequestSchema,
} from '../gen/carillon/v1/ingest_pb.ts';
import { NotificationSchema } from '../gen/carillon/v1/notification_pb.ts';
import { systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { carillonError, wireMetadata } from '../runtime/wire-errors.ts';
import { badSends } from './bad-sends.fixture.ts';
import { type RunningIngest, request, runIngest, stored } from './ingest.fixture.ts';

let ingest: RunningIngest;
beforeAll(async () => {
  ingest = await runIngest();
});
afterAll(() => ingest[Symbol.asyncDispose]());

const ID = '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';
const raw = (bytes: unknown) => bytes as Buffer;

interface Refusal {
  code: Code;
  reason: string;
  fields: string[];
}

/** Sends bytes as they are over gRPC, and says how they were refused. */
async function overGrpc(
  method: string,
  bytes: Uint8Array,
  metadata = new grpc.Metadata(),
  flag = 0,
): Promise<Refusal> {
  metadata.set('authorization', ingest.headers.authorization);
  const kind = IngestService.methods.find(({ name }) => name === method)?.methodKind;
  const path = `/carillon.v1.IngestService/${method}`;
  const client = new grpc.Client(`127.0.0.1:${ingest.port.port}`, grpc.credentials.createInsecure(), {
    'grpc.max_send_message_length': -1,
    ...(flag === 1 && { 'grpc.default_compression_algorithm': 2 }),
  });
  try {
    const error = await new Promise<unknown>((resolve) => {
      const body = Buffer.from(bytes);
      if (kind === 'unary') client.makeUnaryRequest(path, raw, raw, body, metadata, resolve);
      else if (kind === 'server_streaming') {
        const call = client.makeServerStreamRequest(path, raw, raw, body, metadata);
        call.on('error', resolve).resume();
      } else {
        const call = client.makeBidiStreamRequest(path, raw, raw, metadata);
        call.on('error', resolve).resume();
        call.end(body);
      }
    });
    return refusalOf(error);
  } finally {
    client.close();
  }
}

function refusalOf(error: unknown): Refusal {
  const { code, reason, violations } = carillonError(error);
  return { code, reason, fields: violations.map(({ field }) => field) };
}

/** The same with the Connect protocol: one POST. */
async function overConnect(
  method: string,
  body: Uint8Array | string,
  headers: Record<string, string> = {},
): Promise<{ status: number; code: string; reason: string | undefined }> {
  const response = await fetch(`${ingest.url}/carillon.v1.IngestService/${method}`, {
    method: 'POST',
    headers: {
      'content-type': typeof body === 'string' ? 'application/json' : 'application/proto',
      ...ingest.headers,
      ...headers,
    },
    body: typeof body === 'string' ? body : Buffer.from(body),
  });
  const text = await response.text();
  // A refusal does not send the request back.
  expect(text.length).toBeLessThan(4_096);
  const answer = JSON.parse(text) as { code: string; details?: { debug?: { reason?: string } }[] };
  return { status: response.status, code: answer.code, reason: answer.details?.[0]?.debug?.reason };
}

let packed: Buffer | undefined;
/** 256 MiB in 254 KiB. */
function bomb(): Buffer {
  packed ??= gzipSync(Buffer.alloc(256 << 20));
  return packed;
}

const methods = IngestService.methods.map(({ name }) => name);
const unary = IngestService.methods
  .filter(({ methodKind }) => methodKind === 'unary')
  .map(({ name }) => name);

describe.each(methods)('%s', (method) => {
  test('more than 1 MiB is refused', async () => {
    const refusal = await overGrpc(method, new Uint8Array(limits.ingestMessageBytes + 1));
    expect(refusal).toMatchObject({ code: Code.ResourceExhausted, reason: 'MESSAGE_TOO_LARGE' });
  });

  test('a gzip bomb is refused before it unpacks', async () => {
    const refusal = await overGrpc(method, new Uint8Array(64 << 20), undefined, 1);
    expect(refusal).toMatchObject({ code: Code.ResourceExhausted, reason: 'MESSAGE_TOO_LARGE' });
  });

  test.each([
    ['cut short', new Uint8Array([0x0a, 0x7f, 0x01])],
    ['a group that never ends', new Uint8Array([0x0b, 0x0b, 0x0b])],
    ['a varint of eleven bytes', new Uint8Array(11).fill(0xff)],
  ])('bytes that are no message: %s', async (_name, bytes) => {
    const refusal = await overGrpc(method, bytes);
    expect(refusal).toMatchObject({ code: Code.InvalidArgument, reason: 'INVALID_REQUEST' });
  });

  test('nothing at all breaks a rule', async () => {
    const refusal = await overGrpc(method, new Uint8Array());
    expect(refusal).toMatchObject({ code: Code.InvalidArgument, reason: 'INVALID_REQUEST' });
    expect(refusal.fields.length).toBeGreaterThan(0);
  });
});

describe.each(unary)('%s over Connect', (method) => {
  test('more than 1 MiB is refused', async () => {
    const answer = await overConnect(method, new Uint8Array(limits.ingestMessageBytes + 1));
    expect(answer).toEqual({ status: 429, code: 'resource_exhausted', reason: 'MESSAGE_TOO_LARGE' });
  });

  test('a gzip bomb is refused before it unpacks', async () => {
    const answer = await overConnect(method, bomb(), { 'content-encoding': 'gzip' });
    expect(answer).toEqual({ status: 429, code: 'resource_exhausted', reason: 'MESSAGE_TOO_LARGE' });
  });

  test.each([
    ['no JSON', '{'],
    ['nested 80,000 deep', `{"notification":${'{"content":'.repeat(80_000)}1${'}'.repeat(80_000)}}`],
    ['an unknown field', '{"unheardOf":1}'],
    ['an unknown field with a name of half a megabyte', `{"${'x'.repeat(500_000)}":1}`],
    ['a number where a text belongs', '{"notificationId":7,"sends":7,"idempotencyKey":7}'],
  ])('JSON that is no message: %s', async (_name, body) => {
    expect(await overConnect(method, body)).toEqual({
      status: 400,
      code: 'invalid_argument',
      reason: 'INVALID_REQUEST',
    });
  });
});

describe('a Send that breaks a rule', () => {
  test.each(badSends)('$name', async ({ send, field }) => {
    const before = await stored(ingest.db);
    const refusal = refusalOf(await ingest.client.send(send).catch((error: unknown) => error));
    expect(refusal).toMatchObject({ code: Code.InvalidArgument, reason: 'INVALID_REQUEST' });
    expect(refusal.fields).toContain(field);
    const { results } = await ingest.client.sendBatch({ sends: [send] });
    expect(results[0]?.outcome).toMatchObject({
      case: 'error',
      value: { code: 3, reason: 'INVALID_REQUEST' },
    });
    expect(await stored(ingest.db)).toEqual(before);
  });

  test('its neighbours in a batch are accepted', async () => {
    const before = await stored(ingest.db);
    const { results } = await ingest.client.sendBatch({
      sends: [request(['a']), request([]), request(['b'])],
    });
    expect(results.map(({ outcome }) => outcome.case)).toEqual(['accepted', 'error', 'accepted']);
    expect((await stored(ingest.db)).notifications).toBe(before.notifications + 2);
  });

  test('bad UTF-8 in a text', async () => {
    const bytes = toBinary(
      SendRequestSchema,
      request(['ada'], { notification: { content: { title: 'QQQQ' } } }),
    );
    const at = Buffer.from(bytes).indexOf('QQQQ');
    bytes.set([0xc3, 0x28, 0xff, 0xfe], at);
    const before = await stored(ingest.db);
    expect(await overGrpc('Send', bytes)).toMatchObject({ reason: 'INVALID_REQUEST' });
    expect(await overConnect('Send', bytes)).toMatchObject({ status: 400, reason: 'INVALID_REQUEST' });
    expect(await stored(ingest.db)).toEqual(before);
  });
});

test('half a megabyte of unknown fields is dropped, not stored and not slow', async () => {
  const known = toBinary(SendRequestSchema, request(['ada'], { idempotencyKey: 'unknown-fields' }));
  // Field 2047, a varint: three bytes each.
  const junk = Buffer.alloc(512 * 1024 - ((512 * 1024) % 3), Buffer.from([0xf8, 0x7f, 0x01]));
  const startMs = systemClock.monotonic();
  const client = new grpc.Client(`127.0.0.1:${ingest.port.port}`, grpc.credentials.createInsecure());
  const error = await new Promise<unknown>((resolve) =>
    client.makeUnaryRequest(
      '/carillon.v1.IngestService/Send',
      raw,
      raw,
      Buffer.concat([known, junk]),
      wireMetadata(ingest.headers),
      resolve,
    ),
  );
  client.close();
  expect(error).toBeNull();
  expect(systemClock.monotonic() - startMs).toBeLessThan(2_000);
  const { rows } = await ingest.db.query<{ bytes: number }>({
    text: `select octet_length(n.payload) as bytes from notifications n join idempotency_keys k on k.notification_id = n.id
            where k.key = 'unknown-fields'`,
  });
  expect(rows[0]?.bytes).toBeLessThan(200);
});

test.each([0, 501])('a batch of %i is refused as a whole', async (count) => {
  const before = await stored(ingest.db);
  const sends = Array.from({ length: count }, () => request(['ada']));
  const bytes = toBinary(SendBatchRequestSchema, create(SendBatchRequestSchema, { sends }));
  expect(await overGrpc('SendBatch', bytes)).toMatchObject({ reason: 'INVALID_REQUEST', fields: ['sends'] });
  const published = toBinary(PublishRequestSchema, create(PublishRequestSchema, { batch: 1, sends }));
  expect(await overGrpc('Publish', published)).toMatchObject({
    reason: 'INVALID_REQUEST',
    fields: ['sends'],
  });
  expect(await stored(ingest.db)).toEqual(before);
});

test.each(['Cancel', 'GetNotification', 'WatchNotification', 'Explain'])(
  '%s of what is not there',
  async (method) => {
    const bytes = toBinary(ExplainRequestSchema, create(ExplainRequestSchema, { notificationId: ID }));
    const id =
      method === 'Explain' ? create(ExplainRequestSchema, { notificationId: ID, userId: 'ada' }) : undefined;
    expect(await overGrpc(method, id ? toBinary(ExplainRequestSchema, id) : bytes)).toMatchObject({
      code: Code.NotFound,
      reason: 'NOTIFICATION_NOT_FOUND',
    });
  },
);

test.each(['nonsense', Buffer.from('1 a\0b').toString('base64url'), '%%%'])(
  'page token %s',
  async (pageToken) => {
    const bytes = toBinary(
      GetNotificationRequestSchema,
      create(GetNotificationRequestSchema, { notificationId: ID, pageToken }),
    );
    expect(await overGrpc('GetNotification', bytes)).toMatchObject({
      reason: 'INVALID_REQUEST',
      fields: ['page_token'],
    });
  },
);

test('a deadline holds while the store is stuck; the repeat finds the one notification', async () => {
  const send = request(['ada'], { idempotencyKey: 'deadline' });
  const released = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const holder = ingest.db.transaction(async (tx) => {
    await tx.query({ text: 'lock table idempotency_keys in access exclusive mode' });
    locked.resolve();
    await released.promise;
  });
  await locked.promise;
  const late = refusalOf(await ingest.client.send(send, { timeoutMs: 300 }).catch((error: unknown) => error));
  expect(late).toMatchObject({ code: Code.DeadlineExceeded, reason: 'DEADLINE_EXCEEDED' });
  const body = JSON.stringify({
    notification: { audience: { users: { ids: ['a'] } }, content: { title: 't' } },
    idempotencyKey: 'late',
  });
  expect(await overConnect('Send', body, { 'connect-timeout-ms': '300' })).toEqual({
    status: 504,
    code: 'deadline_exceeded',
    reason: 'DEADLINE_EXCEEDED',
  });
  released.resolve();
  await holder;
  const first = await ingest.client.send(send);
  const again = await ingest.client.send(send);
  expect(again).toMatchObject({ notificationId: first.notificationId, duplicate: true });
  const { rows } = await ingest.db.query<{ n: number }>({
    text: `select count(*)::int as n from notifications where payload = $1`,
    values: [toBinary(NotificationSchema, send.notification!)],
  });
  expect(rows[0]?.n).toBeGreaterThan(0);
});

test('after all that, hundreds of bad calls leave the memory as it was, and a good one is answered', async () => {
  const bad = async () => {
    await overConnect('Send', bomb(), { 'content-encoding': 'gzip' });
    await overGrpc('Send', new Uint8Array(limits.ingestMessageBytes + 1));
    await overConnect('Send', '{"unheardOf":1}');
  };
  for (let round = 0; round < 20; round++) await bad();
  const { rss } = process.memoryUsage();
  for (let round = 0; round < 100; round++) await bad();
  expect(process.memoryUsage().rss - rss).toBeLessThan(128 << 20);
  expect((await ingest.client.send(request(['ada']))).notificationId).not.toBe('');
});
