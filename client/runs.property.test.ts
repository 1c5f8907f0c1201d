// Runs say of every position what a set would say, in as few runs as can be.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { joined, type Run, without } from './runs.ts';

const run = fc
  .tuple(fc.nat(40), fc.integer({ min: 1, max: 10 }))
  .map(([after, length]): Run => [after, after + length]);
const positions = (runs: readonly Run[]): number[] =>
  runs.flatMap(([after, upto]) => Array.from({ length: upto - after }, (_, index) => after + 1 + index));

test('joined and taken away they hold what a set would hold, sorted and apart', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), run), { maxLength: 30 }), (steps) => {
      const set = new Set<number>();
      let runs: readonly Run[] = [];
      for (const [add, one] of steps) {
        for (const position of positions([one]))
          if (add) set.add(position);
          else set.delete(position);
        runs = add ? joined(runs, one) : without(runs, one);
      }
      expect(positions(runs)).toEqual([...set].sort((a, b) => a - b));
      for (let index = 1; index < runs.length; index++)
        expect(runs[index]![0]).toBeGreaterThanOrEqual(runs[index - 1]![1]);
    }),
  );
});

test('what follows on joins what was there', () => {
  let runs: readonly Run[] = [];
  for (let seq = 1; seq <= 1_000; seq++) runs = joined(runs, [seq - 1, seq]);
  expect(runs).toEqual([[0, 1_000]]);
});
