// The partition of a key is part of what is stored: it must never change.
import { expect, test } from 'vitest';
import { limits } from '../runtime/limits.ts';
import { partitionOf } from './log-append.postgres.ts';
import { userKey } from './topics.ts';

test('keys keep their partition from release to release', () => {
  expect(limits.logPartitionsCount).toBe(8);
  const keys = [
    '',
    'a',
    'ada',
    'bob',
    'zoë',
    '0199c5b6-7d4e-7000-8000-000000000001',
    userKey('default', 'ada'),
  ];
  expect(keys.map(partitionOf)).toEqual([4, 4, 1, 1, 5, 0, 1]);
});

test('users spread over the partitions', () => {
  const counts = Array.from({ length: limits.logPartitionsCount }, () => 0);
  for (let n = 0; n < 80_000; n++) {
    const partition = partitionOf(userKey('default', `user-${n}`));
    counts[partition] = (counts[partition] ?? 0) + 1;
  }
  expect(Math.max(...counts)).toBeLessThan(10_800);
  expect(Math.min(...counts)).toBeGreaterThan(9_200);
});
