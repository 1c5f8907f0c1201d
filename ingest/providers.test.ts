// Providers through AdminService: in part or whole, each tenant its own, and no secret comes out again anywhere.
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { AdminService, BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { testCatalog } from '../providers/catalog.fixture.ts';
import { startMailServer } from '../providers/mail-server.fixture.ts';
import { withBearer } from '../runtime/bearer.ts';
import { type MasterKeys, makeKey, masterKeysOf } from '../runtime/envelope.ts';
import { openPort } from '../runtime/one-port.ts';
import { carillonError } from '../runtime/wire-errors.ts';
import { putProviderReports } from '../storage/provider-reports.ts';
import { listSandboxMessages } from '../storage/sandbox.ts';
import { type TestDatabase, testDatabase } from '../test/support/database.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { testTokens } from '../test/support/tokens.ts';
import { until } from '../test/support/until.ts';
import { adminMount } from './admin.ts';

const SECRET = 'a-very-secret-token-9f8e7d';
const twilio = {
  accountSid: `AC${'0'.repeat(32)}`,
  authToken: SECRET,
  from: '+41440000000',
};

/** The service, with all that it logs in `logged`. */
async function service(options: { masterKeys?: MasterKeys | null; on?: TestDatabase } = {}) {
  const owned = new AsyncDisposableStack();
  const { db } = options.on ?? owned.use(await testDatabase());
  const logged: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) });
  const tokens = await testTokens();
  const mount = adminMount({
    db,
    handoff: new RecordingHandoff(),
    authenticator: tokens.authenticator,
    signToken: undefined,
    ...testCatalog(db, { ...options, log }),
  });
  const port = owned.use(
    await openPort({ host: '127.0.0.1', port: 0, mounts: [mount], maxMessageBytes: 1_048_576, log }),
  );
  const clientOf = (tenant: string) => {
    const { key } = tokens.backendKey({ tenant });
    return createClient(
      AdminService,
      createConnectTransport({
        baseUrl: `http://127.0.0.1:${port.port}`,
        httpVersion: '1.1',
        interceptors: [withBearer(() => key)],
      }),
    );
  };
  return {
    db,
    logged,
    client: clientOf('default'),
    clientOf,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const failure = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => carillonError(error),
  );

const textOf = (value: unknown): string =>
  JSON.stringify(value, (_key, each) => (typeof each === 'bigint' ? String(each) : each));

test('a provider is put, listed with its secrets hidden, changed in part, and deleted', async () => {
  await using s = await service();
  const { provider } = await s.client.putProvider({ kind: 'twilio', settings: twilio });
  expect(provider).toMatchObject({
    name: 'twilio',
    channel: Channel.SMS,
    position: 0,
    weight: 1,
    draining: false,
  });
  expect(provider?.settings).toEqual({ ...twilio, authToken: '***' });

  await s.client.putProvider({ kind: 'twilio', draining: true, weight: 7 });
  const changed = (
    await s.client.putProvider({
      kind: 'twilio',
      position: 2,
      settings: { from: 'Shop', ratePerSecond: '50' },
    })
  ).provider;
  expect(changed).toMatchObject({ position: 2, weight: 7, draining: true });
  expect(changed?.settings).toEqual({ ...twilio, authToken: '***', from: 'Shop', ratePerSecond: '50' });
  const { providers } = await s.client.listProviders({});
  expect(providers).toMatchObject([
    { name: 'twilio', channel: Channel.SMS, breaker: BreakerState.UNSPECIFIED, node: '', config: changed },
  ]);

  await s.client.deleteProvider({ name: 'twilio' });
  expect((await s.client.listProviders({})).providers).toEqual([]);
  expect((await failure(s.client.deleteProvider({ name: 'twilio' })))?.reason).toBe('PROVIDER_NOT_FOUND');
});

test('where it stands changes no settings, so that nobody opens it anew; settings do', async () => {
  await using s = await service();
  const version = async (request: object) =>
    (await s.client.putProvider({ kind: 'twilio', ...request })).provider?.version;
  const first = await version({ settings: twilio });
  expect(await version({ weight: 5 })).toBe(first);
  expect(await version({ draining: true })).toBe(first);
  expect(await version({ settings: { from: 'Shop' } })).toBeGreaterThan(first!);
});

test('an empty value removes a setting; another kind under the same name keeps none', async () => {
  await using s = await service();
  await s.client.putProvider({ kind: 'twilio', name: 'sms', settings: { ...twilio, ratePerSecond: '5' } });
  const without = await s.client.putProvider({
    kind: 'twilio',
    name: 'sms',
    settings: { ratePerSecond: '' },
  });
  expect(without.provider?.settings).not.toHaveProperty('ratePerSecond');
  const other = await s.client.putProvider({ kind: 'sandbox', name: 'sms', channel: Channel.SMS, weight: 3 });
  expect(other.provider).toMatchObject({ kind: 'sandbox', settings: {}, weight: 3 });
});

test.each([
  ['a kind that is none', { kind: 'pigeon' }, 'kind'],
  ['a kind for another channel', { kind: 'twilio', channel: Channel.EMAIL, settings: twilio }, 'channel'],
  ['a kind of several channels without one', { kind: 'sandbox' }, 'channel'],
  [
    'a setting that is missing',
    { kind: 'twilio', settings: { ...twilio, authToken: '' } },
    'settings.authToken',
  ],
  [
    'a setting that is none',
    { kind: 'twilio', settings: { ...twilio, autToken: SECRET } },
    'settings.autToken',
  ],
  [
    'a secret that is none',
    { kind: 'twilio', settings: { ...twilio, authToken: `${SECRET} ${SECRET}` } },
    'settings.authToken',
  ],
  [
    'a rate below nothing',
    { kind: 'twilio', settings: { ...twilio, ratePerSecond: '-1' } },
    'settings.ratePerSecond',
  ],
  [
    'a rate in words',
    { kind: 'twilio', settings: { ...twilio, ratePerSecond: 'ten' } },
    'settings.ratePerSecond',
  ],
  [
    'a password in a URL',
    { kind: 'smtp', settings: { url: `smtp://me:${SECRET}@mail.example.com?from=a@example.com` } },
    'settings.url',
  ],
  [
    'a password for nobody',
    { kind: 'smtp', settings: { url: 'smtp://mail.example.com?from=a@example.com', password: SECRET } },
    'settings.url',
  ],
])(
  '%s is refused with the field and without the value, and nothing is stored',
  async (_what, request, field) => {
    await using s = await service();
    const error = await failure(s.client.putProvider(request));
    expect(error?.reason).toBe('INVALID_REQUEST');
    expect(error?.violations.map((violation) => violation.field)).toEqual([field]);
    expect(`${error?.message} ${textOf(error?.violations)} ${s.logged.join('')}`).not.toContain(SECRET);
    expect((await s.client.listProviders({})).providers).toEqual([]);
  },
);

test('no secret stands in what is stored, listed, logged or said of a test', async () => {
  await using s = await service();
  await using server = await startMailServer({ user: { name: 'me', password: 'other' } });
  const settings = { url: `smtp://me@127.0.0.1:${server.port}?from=a@example.com`, password: SECRET };
  const put = await s.client.putProvider({ kind: 'smtp', settings });
  const tested = await s.client.testProvider({ name: 'smtp', address: 'ada@example.com' });
  expect(tested).toMatchObject({ outcome: 'config', messageId: '' });
  const { rows } = await s.db.query<{ all: string }>({
    text: `select c::text || encode(coalesce(secrets, ''), 'escape') || (select string_agg(k::text, '') from tenant_keys k) as all
           from provider_configs c`,
  });
  expect(rows[0]?.all).toContain('smtp');
  const all = [
    rows[0]?.all,
    textOf(put),
    textOf(tested),
    textOf(await s.client.listProviders({})),
    ...s.logged,
  ];
  for (const written of [SECRET, Buffer.from(SECRET).toString('base64'), Buffer.from(SECRET).toString('hex')])
    expect(all.join('\n')).not.toContain(written);
});

test('a test sends one message by what is stored, or says what is wrong', async () => {
  await using s = await service();
  await using server = await startMailServer({ user: { name: 'me', password: SECRET } });
  const settings = { url: `smtp://me@127.0.0.1:${server.port}?from=a@example.com`, password: SECRET };
  await s.client.putProvider({ kind: 'smtp', settings, draining: true });
  const content = { title: 'Hello', body: 'It works' };
  const tested = await s.client.testProvider({ name: 'smtp', address: 'ada@example.com', content });
  expect(tested).toMatchObject({ outcome: 'sent', reason: '' });
  expect(server.mails).toMatchObject([{ to: ['ada@example.com'], user: 'me' }]);
  expect(server.mails[0]?.raw).toContain('It works');
  await until('end of its connection', () => server.connections() === 0 || undefined);

  await s.client.putProvider({ kind: 'sandbox', channel: Channel.PUSH });
  await s.client.putProvider({ kind: 'sandbox', channel: Channel.SMS });
  const error = await failure(s.client.testProvider({ name: 'sandbox', address: 'device-1' }));
  expect(error).toMatchObject({ reason: 'INVALID_REQUEST', violations: [{ field: 'channel' }] });
  await s.client.testProvider({ name: 'sandbox', channel: Channel.PUSH, address: 'device-1' });
  expect(await listSandboxMessages(s.db, { tenant: 'default', count: 9 })).toMatchObject([
    { address: 'device-1', channel: Channel.PUSH },
  ]);
  expect((await failure(s.client.testProvider({ name: 'none', address: 'x' })))?.reason).toBe(
    'PROVIDER_NOT_FOUND',
  );
});

test('a tenant sees its own, and those that are for all only where it has none', async () => {
  await using s = await service();
  const other = s.clientOf('other');
  await s.client.putProvider({ kind: 'twilio', settings: twilio });
  const report = { breaker: BreakerState.OPEN, rate: 12.5, problem: '' };
  await putProviderReports(s.db, 'node-1', [
    { ...report, tenant: 'default', provider: 'twilio', channel: Channel.SMS },
    { ...report, tenant: '', provider: 'sandbox', channel: Channel.SMS },
    { ...report, tenant: '', provider: 'smtp', channel: Channel.EMAIL },
  ]);
  const names = async (client: typeof other) =>
    (await client.listProviders({})).providers.map(({ name, channel }) => `${channel} ${name}`);
  expect(await names(s.client)).toEqual([`${Channel.EMAIL} smtp`, `${Channel.SMS} twilio`]);
  expect(await names(other)).toEqual([`${Channel.EMAIL} smtp`, `${Channel.SMS} sandbox`]);
  const [, mine] = (await s.client.listProviders({})).providers;
  expect(mine).toMatchObject({ node: 'node-1', breaker: BreakerState.OPEN, ratePerSecond: 12.5 });
  expect((await failure(other.deleteProvider({ name: 'twilio' })))?.reason).toBe('PROVIDER_NOT_FOUND');
  expect((await failure(other.testProvider({ name: 'twilio', address: '+41441234567' })))?.reason).toBe(
    'PROVIDER_NOT_FOUND',
  );
});

test('without a master key what has secrets is refused with what to do; what has none is not', async () => {
  await using s = await service({ masterKeys: null });
  expect(await failure(s.client.putProvider({ kind: 'twilio', settings: twilio }))).toMatchObject({
    reason: 'MASTER_KEY_MISSING',
    message: expect.stringContaining('CARILLON_MASTER_KEY'),
  });
  await s.client.putProvider({ kind: 'sandbox', channel: Channel.SMS });
  expect((await failure(s.client.rotateProviderKeys({})))?.reason).toBe('MASTER_KEY_MISSING');
});

test('a master key is changed with both at hand, and the old one is not needed afterwards', async () => {
  await using t = await testDatabase();
  const [old, present] = [makeKey(), makeKey()];
  const settings = { authToken: `${SECRET}-2` };
  {
    await using s = await service({ masterKeys: masterKeysOf([old]), on: t });
    await s.client.putProvider({ kind: 'twilio', settings: twilio });
  }
  {
    await using s = await service({ masterKeys: masterKeysOf([present]), on: t });
    expect((await failure(s.client.putProvider({ kind: 'twilio', settings })))?.reason).toBe(
      'SECRETS_UNREADABLE',
    );
  }
  {
    await using s = await service({ masterKeys: masterKeysOf([present, old]), on: t });
    expect(await s.client.rotateProviderKeys({})).toMatchObject({ rotated: 1 });
    expect(await s.client.rotateProviderKeys({})).toMatchObject({ rotated: 0 });
  }
  await using s = await service({ masterKeys: masterKeysOf([present]), on: t });
  expect((await s.client.putProvider({ kind: 'twilio', settings })).provider?.settings.authToken).toBe('***');
});
