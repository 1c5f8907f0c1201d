// What a benchmark is: a goal with a number, measured beside what it is compared with, in one run.

export interface Row {
  /** `G1` … `G13`. */
  readonly goal: string;
  readonly name: string;
  readonly ours: number;
  readonly other: number;
  /** Of `ours` and `other`, such as `cpu_us/msg`. */
  readonly unit: string;
  /** How `ours` stands to `other`. */
  readonly ratio: number;
  /** 0: no goal, shown for comparison. */
  readonly target: number;
  readonly ok: boolean;
}

export interface BenchContext {
  /** Rounds in which both sides are measured one after the other; at least 5. */
  readonly rounds: number;
  /** Says what goes on, for people who wait. */
  progress(text: string): void;
  readonly signal: AbortSignal;
}

export interface Bench {
  /** What `npm run bench -- NAME` calls it: the file's name without `.bench.ts`. */
  readonly name: string;
  readonly goals: readonly string[];
  /** One sentence: what is compared with what, and what stands in for what. */
  readonly about: string;
  run(context: BenchContext): Promise<readonly Row[]>;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('the median of nothing');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

interface Comparison {
  goal: string;
  name: string;
  unit: string;
  /** One value a round, less is better; the two of a round were measured next to each other. */
  ours: readonly number[];
  other: readonly number[];
  /** `other / ours` must reach this. */
  target: number;
}

/** A row for costs: the ratio is the median of the rounds' own ratios, so that a machine that slows down does both sides alike. */
export function compareCosts({ goal, name, unit, ours, other, target }: Comparison): Row {
  const ratio = median(ours.map((cost, round) => other[round]! / cost));
  return { goal, name, ours: median(ours), other: median(other), unit, ratio, target, ok: ratio >= target };
}
