// What belongs to a tenant is seen, changed and received by that tenant alone, whatever its users and keys are called.
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AdminService } from '../gen/carillon/v1/admin_pb.ts';
import { EdgeService } from '../gen/carillon/v1/edge_pb.ts';
import { IngestService } from '../gen/carillon/v1/ingest_pb.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { withBearer } from '../runtime/bearer.ts';
import { carillonError } from '../runtime/wire-errors.ts';
import { type RunningMesh, startRunningMesh } from './support/running-mesh.ts';
import { backendToken, userToken } from './support/tokens.ts';

let mesh: RunningMesh;
beforeAll(async () => {
  mesh = await startRunningMesh();
}, 60_000);
afterAll(() => mesh?.[Symbol.asyncDispose]());

const over = (baseUrl: string, token: () => Promise<string>) =>
  createConnectTransport({ baseUrl, httpVersion: '1.1', interceptors: [withBearer(token)] });
const asBackend = (tenant: string) => {
  const transport = over(mesh.ingest, () => backendToken({ tenant }));
  return { ingest: createClient(IngestService, transport), admin: createClient(AdminService, transport) };
};
const asUser = (tenant: string, userId: string) =>
  createClient(
    EdgeService,
    over(mesh.edge, () => userToken(userId, { tenant })),
  );
const reasonOf = (call: Promise<unknown>) =>
  call.then(
    () => 'let in',
    (error: unknown) => carillonError(error).reason,
  );
const sendTo = (tenant: string, userId: string) =>
  asBackend(tenant).ingest.send({
    notification: {
      audience: { kind: { case: 'users', value: { ids: [userId] } } },
      content: { title: `for ${tenant}` },
      channels: [Channel.IN_APP],
    },
  });

test('has users, notifications and inboxes of its own, whatever they are called', async () => {
  const [blue, red] = [asBackend('blue'), asBackend('red')];
  await blue.admin.putUser({ user: { id: 'twin', email: 'blue@example.test' } });
  expect(await reasonOf(red.admin.getUser({ userId: 'twin' }))).toBe('USER_NOT_FOUND');
  const { notificationId: id } = await sendTo('blue', 'twin');
  const twin = asUser('blue', 'twin');
  await expect.poll(async () => (await twin.listInbox({})).unread).toBe(1);
  expect((await asUser('red', 'twin').listInbox({})).items).toEqual([]);
  const foreign = await asUser('red', 'twin').markInbox({ mark: 3, notificationIds: [id] });
  expect(foreign.marked).toBe(0);
  for (const call of [
    () => red.ingest.getNotification({ notificationId: id }),
    () => red.ingest.cancel({ notificationId: id }),
    () => red.ingest.explain({ notificationId: id, userId: 'twin' }),
    async () => {
      for await (const _status of red.ingest.watchNotification({ notificationId: id }));
    },
  ])
    expect(await reasonOf(call())).toBe('NOTIFICATION_NOT_FOUND');
  expect((await blue.ingest.getNotification({ notificationId: id })).status?.notificationId).toBe(id);
});

test('shows its items on the streams of its own users alone', async () => {
  const call = new AbortController();
  const titles: string[] = [];
  const open = async (tenant: string, onHello: () => void) => {
    for await (const { frame } of asUser(tenant, 'namesake').subscribe({}, { signal: call.signal })) {
      if (frame.case === 'hello') onHello();
      if (frame.case === 'deliver') titles.push(`${tenant} got ${frame.value.item?.content?.title}`);
    }
  };
  const hellos = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const streams = ['blue', 'red'].map((tenant, at) => open(tenant, hellos[at]!.resolve).catch(() => {}));
  await Promise.all(hellos.map(({ promise }) => promise));
  await sendTo('blue', 'namesake');
  await sendTo('red', 'namesake');
  await expect.poll(() => titles.length).toBe(2);
  expect(titles.sort()).toEqual(['blue got for blue', 'red got for red']);
  call.abort();
  await Promise.all(streams);
});

test('has keys of its own, which others neither see nor revoke, and tokens for its own users', async () => {
  const [blue, red] = [asBackend('blue'), asBackend('red')];
  const { apiKey, secret } = await blue.admin.createApiKey({ name: 'shop', scopes: ['tokens:create'] });
  const id = apiKey?.id ?? '';
  expect((await red.admin.listApiKeys({})).apiKeys.map((key) => key.id)).not.toContain(id);
  expect(await reasonOf(red.admin.revokeApiKey({ id }))).toBe('API_KEY_NOT_FOUND');
  const withKey = createClient(
    AdminService,
    over(mesh.ingest, async () => secret),
  );
  const { token } = await withKey.createToken({ userId: 'twin' });
  const edge = createClient(
    EdgeService,
    over(mesh.edge, async () => token),
  );
  expect((await edge.listInbox({})).items.map(({ item }) => item?.content?.title)).toEqual(['for blue']);
  expect(await reasonOf(withKey.createApiKey({ name: 'more', scopes: ['admin:*'] }))).toBe(
    'PERMISSION_DENIED',
  );
  await red.admin.revokeTokens({ userId: 'twin' });
  expect(await reasonOf(edge.listInbox({}))).toBe('let in');
  await blue.admin.revokeTokens({ userId: 'twin' });
  await expect.poll(() => reasonOf(edge.listInbox({})), { timeout: 5_000 }).toBe('TOKEN_REVOKED');
  const { token: later } = await withKey.createToken({ userId: 'twin' });
  const again = createClient(
    EdgeService,
    over(mesh.edge, async () => later),
  );
  expect(await reasonOf(again.listInbox({}))).toBe('let in');
  await blue.admin.revokeApiKey({ id });
  await expect
    .poll(() => reasonOf(withKey.createToken({ userId: 'twin' })), { timeout: 5_000 })
    .toBe('TOKEN_REVOKED');
});
