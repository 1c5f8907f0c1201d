// Chance with a seed, so that a run that failed can be run again.

export interface Chance {
  /** In [0, 1). */
  next(): number;
  /** An integer in [from, upto). */
  between(from: number, upto: number): number;
  pick<T>(of: readonly T[]): T;
}

/** mulberry32: 32 bits of state, good enough to choose victims and moments. */
export function seeded(seed: number): Chance {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    next,
    between: (from, upto) => from + Math.floor(next() * (upto - from)),
    pick: (of) => of[Math.floor(next() * of.length)]!,
  };
}
