// What was put for a user last is what is got, and nobody else's.
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { UserSchema } from '../gen/carillon/v1/admin_pb.ts';
import { testDatabase } from '../test/support/database.ts';
import { getUser, putUser } from './users.ts';

test('a user is got as it was put last; fields left empty are cleared', async () => {
  await using t = await testDatabase();
  await putUser(
    t.db,
    'default',
    create(UserSchema, {
      id: 'ada',
      email: 'a@x.org',
      phone: '+41441234567',
      locale: 'de-CH',
      timezone: 'Europe/Zurich',
    }),
  );
  await putUser(t.db, 'default', create(UserSchema, { id: 'ada', email: 'b@x.org' }));
  expect(await getUser(t.db, 'default', 'ada')).toMatchObject({
    id: 'ada',
    email: 'b@x.org',
    phone: '',
    locale: '',
    timezone: '',
    devices: [],
  });
});

test('tenants do not see one another', async () => {
  await using t = await testDatabase();
  await putUser(t.db, 'default', create(UserSchema, { id: 'ada', email: 'a@x.org' }));
  expect(await getUser(t.db, 'other', 'ada')).toBeUndefined();
});

test('a user of whom only a device is known is found, with the device seen last first', async () => {
  await using t = await testDatabase();
  await t.db.query({
    text: `insert into devices (tenant, user_id, device_id, platform, token, last_seen_at) values
           ('default', 'ada', 'old', 1, 't1', now() - interval '1 day'), ('default', 'ada', 'new', 4, 't2', now())`,
  });
  const user = await getUser(t.db, 'default', 'ada');
  expect(user?.devices.map(({ deviceId, token }) => [deviceId, token])).toEqual([
    ['new', 't2'],
    ['old', 't1'],
  ]);
});
