// What goes for the notifications of a category, as its tenant put it last.
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Category, CategorySchema } from '../gen/carillon/v1/admin_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Queryable } from './database.ts';

/** As it is stored; unknown fields of a newer version are left out. */
export const readCategory = (payload: Uint8Array): Category =>
  fromBinary(CategorySchema, payload, { readUnknownFields: false });

/** Stores it whole, in place of what was there. TOO_MANY_CATEGORIES past `limits.categoriesPerTenantCount`. */
export async function putCategory(db: Queryable, tenant: string, category: Category): Promise<void> {
  const { rowCount } = await db.query({
    name: 'categories-put',
    text: `insert into categories (tenant, id, payload)
           select $1, $2, $3 where exists (select from categories where tenant = $1 and id = $2)
              or (select count(*) from categories where tenant = $1) < $4
           on conflict (tenant, id) do update set payload = excluded.payload, updated_at = now()`,
    values: [tenant, category.id, toBinary(CategorySchema, category), limits.categoriesPerTenantCount],
  });
  if (rowCount === 0) throw new CarillonError('TOO_MANY_CATEGORIES');
}

/** By id. */
export async function listCategories(db: Queryable, tenant: string): Promise<Category[]> {
  const { rows } = await db.query<{ payload: Uint8Array }>({
    name: 'categories-list',
    text: 'select payload from categories where tenant = $1 order by id limit $2',
    values: [tenant, limits.categoriesPerTenantCount],
  });
  return rows.map(({ payload }) => readCategory(payload));
}

/** False when there was none. */
export async function deleteCategory(db: Queryable, tenant: string, id: string): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'categories-delete',
    text: 'delete from categories where tenant = $1 and id = $2',
    values: [tenant, id],
  });
  return rowCount === 1;
}
