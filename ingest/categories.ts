// What goes for all notifications of a category: put whole, listed and removed by the caller's tenant, checked before it is kept.
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { HandlerContext } from '@connectrpc/connect';
import type { Category, DeleteCategoryRequest, PutCategoryRequest } from '../gen/carillon/v1/admin_pb.ts';
import { CarillonError, type FieldViolation } from '../runtime/errors.ts';
import { principalOf } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import { invalidRequest } from '../runtime/validation.ts';
import * as storage from '../storage/categories.ts';
import type { Queryable } from '../storage/database.ts';

export interface CategoriesContext {
  readonly db: Queryable;
}

/** The category; throws INVALID_REQUEST with a violation for each field that cannot be. */
function checked(category: Category | undefined): Category {
  if (!category) throw invalidRequest([{ field: 'category', description: 'is required' }]);
  const violations: FieldViolation[] = [];
  const check = (field: string, ok: boolean, description: string) => {
    if (!ok) violations.push({ field: `category.${field}`, description });
  };
  const { id, linger, escalation } = category;
  check('id', !id.includes('\0'), 'must not hold a zero character');
  const lingerMs = linger ? durationMs(linger) : 0;
  check(
    'linger',
    lingerMs >= 0 && lingerMs <= limits.lingerMaxMs,
    `must be from 0 to ${limits.lingerMaxMs / 1_000} seconds`,
  );
  const channels = new Set(escalation.map(({ channel }) => channel));
  check('escalation', channels.size === escalation.length, 'may name a channel once');
  if (violations.length > 0) throw invalidRequest(violations);
  return category;
}

/** In place of what was there. The next notification that a router plans goes by it. */
export async function putCategory(
  { db }: CategoriesContext,
  { category }: PutCategoryRequest,
  call: HandlerContext,
) {
  await storage.putCategory(db, principalOf(call).tenant, checked(category));
  return {};
}

/** All of the tenant, by id. */
export async function listCategories({ db }: CategoriesContext, _request: unknown, call: HandlerContext) {
  return { categories: await storage.listCategories(db, principalOf(call).tenant) };
}

/** CATEGORY_NOT_FOUND. */
export async function deleteCategory(
  { db }: CategoriesContext,
  { id }: DeleteCategoryRequest,
  call: HandlerContext,
) {
  if (id.includes('\0') || !(await storage.deleteCategory(db, principalOf(call).tenant, id)))
    throw new CarillonError('CATEGORY_NOT_FOUND');
  return {};
}
