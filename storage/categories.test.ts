// Categories of a tenant: bounded in number, replaced whole, and found by whoever loads a notification of theirs.
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { BackgroundPolicy, CategorySchema } from '../gen/carillon/v1/admin_pb.ts';
import { limits } from '../runtime/limits.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertNotification } from '../test/support/notification-rows.ts';
import { deleteCategory, listCategories, putCategory } from './categories.ts';
import { loadNotifications } from './expansion.ts';

const category = (id: string, lingerMs = 1_000) =>
  create(CategorySchema, { id, linger: durationFromMs(lingerMs), background: BackgroundPolicy.STREAM_ONLY });

test('a tenant has so many categories and no more, but may change each', async () => {
  await using t = await testDatabase();
  await t.db.query({
    text: `insert into categories (tenant, id, payload) select 'default', 'c' || n, '' from generate_series(1, $1) n`,
    values: [limits.categoriesPerTenantCount],
  });
  await expect(putCategory(t.db, 'default', category('one more'))).rejects.toMatchObject({
    reason: 'TOO_MANY_CATEGORIES',
  });
  await putCategory(t.db, 'default', category('c7', 7_000));
  await putCategory(t.db, 'other', category('one more'));
  expect(await deleteCategory(t.db, 'default', 'c7')).toBe(true);
  expect(await deleteCategory(t.db, 'default', 'c7')).toBe(false);
  await putCategory(t.db, 'default', category('one more'));
  expect(await listCategories(t.db, 'default')).toHaveLength(limits.categoriesPerTenantCount);
});

test('a notification is loaded with what its own tenant says of its category now', async () => {
  await using t = await testDatabase();
  const id = await insertNotification(t.db, { users: ['ada'] });
  const rules = async () => (await loadNotifications(t.db, [id], 0)).get(id)?.rules;
  await putCategory(t.db, 'other', category('default'));
  await putCategory(t.db, 'default', category('defaults'));
  expect(await rules()).toBeUndefined();
  await putCategory(t.db, 'default', category('default', 2_000));
  expect(await rules()).toEqual(category('default', 2_000));
  await putCategory(t.db, 'default', category('default', 3_000));
  expect(await rules()).toEqual(category('default', 3_000));
  await deleteCategory(t.db, 'default', 'default');
  expect(await rules()).toBeUndefined();
});
