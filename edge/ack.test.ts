// An ack becomes tickets that a statement can take, however much it covers.
import { expect, test } from 'vitest';
import { limits } from '../runtime/limits.ts';
import { ackTickets } from './ack.ts';

const ada = { tenant: 'default', userId: 'ada' };
const positionsOf = (ranges: readonly { after: number; upto: number }[]) =>
  ranges.reduce((sum, { after, upto }) => sum + upto - after, 0);

test('the longest ack takes no more of a statement than is meant for one', () => {
  const tickets = ackTickets(ada, { after: 7, upto: 7 + limits.ackSpanCount, extra: [3, 5] });
  expect(Math.max(...tickets.map(positionsOf))).toBeLessThanOrEqual(limits.ackBatchPositionsCount);
  expect(positionsOf(tickets.flat())).toBe(limits.ackSpanCount + 2);
  expect(tickets).toHaveLength(limits.ackSpanCount / limits.ackBatchPositionsCount + 1);
});

test('extras that lie apart are ranges of their own, a hundred to a ticket; neighbours are one', () => {
  const apart = Array.from({ length: 250 }, (_, index) => 2 * index + 1);
  expect(ackTickets(ada, { after: 0, upto: 0, extra: apart }).map(({ length }) => length)).toEqual([
    100, 100, 50,
  ]);
  expect(ackTickets(ada, { after: 10, upto: 12, extra: [4, 3, 3, 11, 0] })).toEqual([
    [
      { ...ada, after: 10, upto: 12 },
      { ...ada, after: 2, upto: 4 },
    ],
  ]);
  expect(ackTickets(ada, { after: 5, upto: 5, extra: [] })).toEqual([]);
});
