// PostgreSQL reads what we write, whatever is in it.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { testDatabase } from '../test/support/database.ts';
import { byteaArray, int2Array, int4Array, int8Array, textArray, uuidArray } from './binary-array.ts';

test('arrays come back as they went', async () => {
  await using t = await testDatabase();
  const row = fc.record({
    text: fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
    bytes: fc.uint8Array(),
    uuid: fc.uuid(),
    small: fc.integer({ min: -32_768, max: 32_767 }),
    int: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    big: fc.maxSafeInteger(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 20 }), async (given) => {
      const { rows } = await t.db.query<Record<string, unknown>>({
        text: `select * from unnest($1::text[], $2::bytea[], $3::uuid[], $4::smallint[], $5::integer[], $6::bigint[])
                 as o(text, bytes, uuid, small, int, big)`,
        values: [
          textArray(given.map(({ text }) => text)),
          byteaArray(given.map(({ bytes }) => bytes)),
          uuidArray(given.map(({ uuid }) => uuid)),
          int2Array(given.map(({ small }) => small)),
          int4Array(given.map(({ int }) => int)),
          int8Array(given.map(({ big }) => big)),
        ],
      });
      expect(rows).toEqual(
        given.map((each) => ({ ...each, bytes: Buffer.from(each.bytes), big: String(each.big) })),
      );
    }),
    { numRuns: 50 },
  );
});
