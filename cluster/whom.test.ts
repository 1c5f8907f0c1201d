// Whoever may hold a user is asked, nobody twice, and no more than need be.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { edgesToAsk } from './whom.ts';

const nodes = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'), { maxLength: 8 });
const owners = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'x', 'y'), { maxLength: 2 });
const bound = fc.integer({ min: 1, max: 12 });
const check = (holds: (edges: string[], own: string[], linked: string[], most: number) => void) =>
  fc.assert(fc.property(nodes, owners, nodes, bound, holds), { numRuns: 1_000 });

describe('while the hints hold', () => {
  it('are asked: all that hold the user, and nobody else unless views differ', () => {
    check((edges, own, linked, most) => {
      const asked = edgesToAsk({ edges, known: true }, own, linked, most);
      expect(new Set(asked)).toEqual(new Set(own.length > 1 ? [...edges, ...own] : edges));
      expect(new Set(asked).size).toBe(asked.length);
    });
  });
});

describe('when the hints are lost', () => {
  it('are asked: the owners first, then who says so, then all others, none twice, at most so many', () => {
    check((edges, own, linked, most) => {
      const asked = edgesToAsk({ edges, known: false }, own, linked, most);
      const all = new Set([...own, ...edges, ...linked]);
      expect(asked).toHaveLength(Math.min(all.size, most));
      expect(new Set(asked).size).toBe(asked.length);
      expect(asked.slice(0, own.length)).toEqual(own.slice(0, most));
      const rank = (edge: string) => (own.includes(edge) ? 0 : edges.includes(edge) ? 1 : 2);
      const ranks = asked.map(rank);
      expect(ranks).toEqual([...ranks].sort());
    });
  });
});
