// Providers are kept per tenant, their secrets sealed for one place and one version; keys move to another master key without a pause.
import { expect, test } from 'vitest';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import { makeKey, masterKeysOf } from '../runtime/envelope.ts';
import { limits } from '../runtime/limits.ts';
import { testDatabase } from '../test/support/database.ts';
import type { Database } from './database.ts';
import {
  changeProviders,
  listProviders,
  openSecrets,
  providersVersion,
  readProviders,
  removeProvider,
  sealSecrets,
  storeProvider,
} from './provider-configs.ts';
import { type TenantKey, TenantKeys } from './tenant-keys.ts';

const unreadable = expect.objectContaining({ reason: 'SECRETS_UNREADABLE' });

function put(db: Database, key: TenantKey | undefined, tenant: string, name: string, secret = 's3cret') {
  const of = { tenant, channel: Channel.SMS, name };
  return changeProviders(db, (tx, version) =>
    storeProvider(tx, {
      ...of,
      kind: 'twilio',
      position: 0,
      weight: 1,
      draining: false,
      settings: { from: '+41440000000', ratePerSecond: 5 },
      secretNames: key ? ['authToken'] : [],
      secrets: key && sealSecrets(key, of, version, { authToken: secret }),
      version,
    }),
  );
}

test('what is put is read again, by tenant, and each change has a number of its own', async () => {
  await using t = await testDatabase();
  const key = await new TenantKeys(t.db, masterKeysOf([makeKey()])).of('acme');
  expect(await providersVersion(t.db)).toBe(0);
  const first = await put(t.db, key, 'acme', 'a');
  await put(t.db, undefined, 'other', 'a');
  const [mine, ...more] = await listProviders(t.db, 'acme');
  expect(more).toEqual([]);
  expect(mine).toEqual(first);
  expect(mine).toMatchObject({ name: 'a', settings: { from: '+41440000000', ratePerSecond: 5 }, version: 1 });
  expect(openSecrets(key, mine!)).toEqual({ authToken: 's3cret' });
  const all = await readProviders(t.db);
  expect([all.version, all.configs.map(({ tenant }) => tenant)]).toEqual([2, ['acme', 'other']]);

  await changeProviders(t.db, (tx) => removeProvider(tx, first));
  expect(await listProviders(t.db, 'acme')).toEqual([]);
  expect(await providersVersion(t.db)).toBe(3);
  expect((await put(t.db, key, 'acme', 'a')).version).toBe(4);
});

test('a change that fails was none', async () => {
  await using t = await testDatabase();
  await expect(
    changeProviders(t.db, async () => {
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  expect(await providersVersion(t.db)).toBe(0);
});

test('changes at once come one after the other', async () => {
  await using t = await testDatabase();
  const stored = await Promise.all(
    Array.from({ length: 8 }, (_, n) => put(t.db, undefined, 'acme', `p${n}`)),
  );
  expect(stored.map(({ version }) => version).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test('a tenant may configure so many', async () => {
  await using t = await testDatabase();
  for (let n = 0; n < limits.providerConfigsPerTenantCount; n++) await put(t.db, undefined, 'acme', `p${n}`);
  await expect(put(t.db, undefined, 'acme', 'one-more')).rejects.toMatchObject({ reason: 'LIMIT_REACHED' });
  await put(t.db, undefined, 'acme', 'p0');
  await put(t.db, undefined, 'other', 'one-more');
});

test('sealed secrets that are put in another place do not open: tenant, name, version', async () => {
  await using t = await testDatabase();
  const keys = new TenantKeys(t.db, masterKeysOf([makeKey()]));
  const [key, others] = [await keys.of('acme'), await keys.of('other')];
  const before = await put(t.db, key, 'acme', 'a');
  const after = await put(t.db, key, 'acme', 'a', 'another');
  expect(() => openSecrets(key, { ...after, secrets: before.secrets })).toThrow(unreadable);
  expect(() => openSecrets(key, { ...after, name: 'b' })).toThrow(unreadable);
  expect(() => openSecrets(key, { ...after, channel: Channel.EMAIL })).toThrow(unreadable);
  expect(() => openSecrets(key, { ...after, tenant: 'other' })).toThrow(unreadable);
  expect(() => openSecrets(others, after)).toThrow(unreadable);
  const { rows } = await t.db.query<{ all: string }>({
    text: `select encode(secrets, 'escape') || settings::text as all from provider_configs`,
  });
  expect(rows[0]?.all).not.toMatch(/s3cret|another/);
});

test('processes that start together make one key per tenant', async () => {
  await using t = await testDatabase();
  const master = makeKey();
  const made = await Promise.all(
    Array.from({ length: 6 }, () => new TenantKeys(t.db, masterKeysOf([master])).of('acme')),
  );
  const sealed = made[0]!.seal('x', []);
  for (const key of made) expect(key.open(sealed, [])).toBe('x');
});

test('rotation: both keys open, then the new one alone does, and the old one no longer', async () => {
  await using t = await testDatabase();
  const [old, present] = [makeKey(), makeKey()];
  const before = new TenantKeys(t.db, masterKeysOf([old]));
  const sealed = await put(t.db, await before.of('acme'), 'acme', 'a');
  await before.of('other');

  await expect(new TenantKeys(t.db, masterKeysOf([present])).of('acme')).rejects.toEqual(unreadable);
  const both = new TenantKeys(t.db, masterKeysOf([present, old]));
  expect(openSecrets(await both.of('acme'), sealed)).toEqual({ authToken: 's3cret' });
  expect(await both.rotate()).toBe(2);
  expect(await both.rotate()).toBe(0);

  const after = new TenantKeys(t.db, masterKeysOf([present]));
  expect(openSecrets(await after.of('acme'), sealed)).toEqual({ authToken: 's3cret' });
  // Who has it open goes on; who starts without the new key does not.
  expect(openSecrets(await before.of('acme'), sealed)).toEqual({ authToken: 's3cret' });
  await expect(new TenantKeys(t.db, masterKeysOf([old])).of('acme')).rejects.toEqual(unreadable);
});

test('without a master key there is no key', async () => {
  await using t = await testDatabase();
  const keys = new TenantKeys(t.db, undefined);
  expect(keys.available).toBe(false);
  await expect(keys.of('acme')).rejects.toMatchObject({ reason: 'MASTER_KEY_MISSING' });
  await expect(keys.rotate()).rejects.toMatchObject({ reason: 'MASTER_KEY_MISSING' });
});
