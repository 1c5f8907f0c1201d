// Operators see what is stored, and what they put in is checked before anything is kept.
import { create, toBinary } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { expect, test } from 'vitest';
import type { Handoff, LogRecord } from '../eventlog/event-log.ts';
import { rawTopic } from '../eventlog/topics.ts';
import { AdminService, BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import { RawRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Channel, Lane } from '../gen/carillon/v1/notification_pb.ts';
import { testCatalog } from '../providers/catalog.fixture.ts';
import { withBearer } from '../runtime/bearer.ts';
import { systemIds } from '../runtime/ids.ts';
import { silentLog } from '../runtime/log.ts';
import { openPort } from '../runtime/one-port.ts';
import { carillonError } from '../runtime/wire-errors.ts';
import { insertDeadLetter } from '../storage/dead-letters.ts';
import { putProviderReports } from '../storage/provider-reports.ts';
import { keepSandboxMessage } from '../storage/sandbox.ts';
import { testDatabase } from '../test/support/database.ts';
import { testTokens } from '../test/support/tokens.ts';
import { adminMount } from './admin.ts';

async function admin() {
  const owned = new AsyncDisposableStack();
  const { db } = owned.use(await testDatabase());
  const handed: LogRecord[] = [];
  const published: LogRecord[] = [];
  const handoff: Handoff = {
    write(_tx, records) {
      handed.push(...records);
      return Promise.resolve({ committed: () => void published.push(...records) });
    },
    backlog: () => ({ bytes: 0, oldestMs: 0 }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const tokens = await testTokens();
  const { key } = tokens.backendKey();
  const port = owned.use(
    await openPort({
      host: '127.0.0.1',
      port: 0,
      mounts: [
        adminMount({
          db,
          handoff,
          authenticator: tokens.authenticator,
          signToken: undefined,
          ...testCatalog(db),
        }),
      ],
      maxMessageBytes: 1_048_576,
      log: silentLog,
    }),
  );
  const client = createClient(
    AdminService,
    createConnectTransport({
      baseUrl: `http://127.0.0.1:${port.port}`,
      httpVersion: '1.1',
      interceptors: [withBearer(() => key)],
    }),
  );
  return { db, client, handed, published, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const failure = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => carillonError(error),
  );

test('a user is put and got; an unknown one is not found', async () => {
  await using a = await admin();
  await a.client.putUser({
    user: { id: 'ada', email: 'ada@example.com', timezone: 'Europe/Zurich', locale: 'de-CH' },
  });
  const { user } = await a.client.getUser({ userId: 'ada' });
  expect(user).toMatchObject({
    id: 'ada',
    email: 'ada@example.com',
    timezone: 'Europe/Zurich',
    locale: 'de-CH',
  });
  expect((await failure(a.client.getUser({ userId: 'bob' })))?.reason).toBe('USER_NOT_FOUND');
});

test.each([
  ['no user at all', undefined, 'user'],
  ['an empty id', { id: '' }, 'user.id'],
  ['a mail address without a domain', { id: 'ada', email: 'ada' }, 'user.email'],
  ['a mail address with a second header', { id: 'ada', email: 'a@b.c\r\nBcc: x@y.z' }, 'user.email'],
  ['a phone number that is not E.164', { id: 'ada', phone: '044 123' }, 'user.phone'],
  ['a language that is none', { id: 'ada', locale: 'x' }, 'user.locale'],
  ['a time zone that is none', { id: 'ada', timezone: 'Europe/Zurch' }, 'user.timezone'],
  ['an offset instead of a time zone', { id: 'ada', timezone: '+01:00' }, 'user.timezone'],
])('%s is refused with the field, and nothing is stored', async (_what, user, field) => {
  await using a = await admin();
  const error = await failure(a.client.putUser({ user }));
  expect(error?.reason).toBe('INVALID_REQUEST');
  expect(error?.violations.map((violation) => violation.field)).toEqual([field]);
  expect((await a.db.query({ text: 'select 1 from users' })).rowCount).toBe(0);
});

test('what processes report of their providers is listed', async () => {
  await using a = await admin();
  await putProviderReports(a.db, 'node-1', [
    {
      tenant: '',
      provider: 'smtp',
      channel: Channel.EMAIL,
      breaker: BreakerState.OPEN,
      rate: 0,
      problem: '',
    },
  ]);
  const { providers } = await a.client.listProviders({});
  expect(providers).toMatchObject([
    { name: 'smtp', channel: Channel.EMAIL, breaker: BreakerState.OPEN, node: 'node-1' },
  ]);
  expect(providers[0]?.reportedAt).toBeDefined();
});

test('the sandbox is listed by user and channel, newest first', async () => {
  await using a = await admin();
  const message = {
    tenant: 'default',
    notificationId: systemIds.uuid(),
    address: 'x',
    title: 't',
    body: 'b',
  };
  for (const [userId, channel] of [
    ['ada', Channel.EMAIL],
    ['ada', Channel.PUSH],
    ['bob', Channel.EMAIL],
  ] as const)
    await keepSandboxMessage(a.db, { ...message, attemptId: systemIds.uuid(), userId, channel });
  const list = async (request: Parameters<typeof a.client.listSandboxMessages>[0]) =>
    (await a.client.listSandboxMessages(request)).messages.map(({ userId, channel }) => [userId, channel]);
  expect(await list({})).toEqual([
    ['bob', Channel.EMAIL],
    ['ada', Channel.PUSH],
    ['ada', Channel.EMAIL],
  ]);
  expect(await list({ userId: 'ada', channel: Channel.EMAIL })).toEqual([['ada', Channel.EMAIL]]);
  expect(await list({ limit: 1 })).toEqual([['bob', Channel.EMAIL]]);
});

test('a record that nobody could handle is listed, goes back to its topic once, and is listed no more', async () => {
  await using a = await admin();
  const notificationId = systemIds.uuid();
  const record = {
    topic: rawTopic(Lane.NORMAL),
    key: 'default ada',
    value: toBinary(RawRecordSchema, create(RawRecordSchema, { tenant: 'default', notificationId })),
    headers: { traceparent: '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01' },
  };
  const id = systemIds.uuid();
  await insertDeadLetter(a.db, { ...record, id }, new Error('it broke'));
  const { deadLetters } = await a.client.listDeadLetters({});
  expect(deadLetters).toMatchObject([{ id, notificationId, source: record.topic, lane: Lane.NORMAL }]);
  expect(deadLetters[0]?.error).toContain('it broke');
  expect(await a.client.replayDeadLetters({ ids: [id] })).toMatchObject({ replayed: 1 });
  expect(await a.client.replayDeadLetters({ ids: [id] })).toMatchObject({ replayed: 0 });
  expect(a.published).toHaveLength(1);
  expect(a.published[0]).toMatchObject({ topic: record.topic, key: record.key, headers: record.headers });
  expect(Buffer.from(a.published[0]?.value ?? [])).toEqual(Buffer.from(record.value));
  expect((await a.client.listDeadLetters({})).deadLetters).toEqual([]);
});

test('where tokens are signed elsewhere none is made here', async () => {
  await using a = await admin();
  expect(await failure(a.client.createToken({ userId: 'ada' }))).toMatchObject({
    reason: 'SIGNING_UNAVAILABLE',
    message: expect.stringContaining('CARILLON_JWT_SECRET'),
  });
});

test.each([
  ['a scope that opens nothing', { scopes: ['users:reed'] }, 'scopes[0]'],
  ['a scope that opens nothing beside one that does', { scopes: ['users:read', '*:*'] }, 'scopes[1]'],
  ['a life of half a second', { scopes: ['*'], ttl: { seconds: 0n, nanos: 500_000_000 } }, 'ttl'],
  ['a life of eleven years', { scopes: ['*'], ttl: { seconds: 347_000_000n, nanos: 0 } }, 'ttl'],
])('a key with %s is refused with the field, and nothing is stored', async (_what, more, field) => {
  await using a = await admin();
  const error = await failure(a.client.createApiKey({ name: 'k', ...more }));
  expect(error?.reason).toBe('INVALID_REQUEST');
  expect(error?.violations.map((violation) => violation.field)).toEqual([field]);
  expect((await a.client.listApiKeys({})).apiKeys).toEqual([]);
});
