// Sets of positions as runs (after, upto]: neighbours join, so that a thousand handled items are one run.

/** The positions after `after`, up to `upto` with it. */
export type Run = readonly [after: number, upto: number];

/** `runs` with one more, sorted and joined. */
export function joined(runs: readonly Run[], more: Run): Run[] {
  const last = runs.at(-1);
  // Nearly always: what was handled follows what was handled before.
  if (last && more[0] >= last[0] && more[0] <= last[1])
    return [...runs.slice(0, -1), [last[0], Math.max(last[1], more[1])]];
  if (!last || more[0] > last[1]) return [...runs, more];
  let [after, upto] = more;
  const others: Run[] = [];
  for (const run of runs) {
    if (run[1] < after || run[0] > upto) others.push(run);
    else {
      after = Math.min(after, run[0]);
      upto = Math.max(upto, run[1]);
    }
  }
  return [...others, [after, upto] as Run].sort((a, b) => a[0] - b[0]);
}

/** `runs` without the positions of one. */
export function without(runs: readonly Run[], [after, upto]: Run): Run[] {
  return runs.flatMap((run): Run[] => {
    if (run[1] <= after || run[0] >= upto) return [run];
    const rest: Run[] = [];
    if (run[0] < after) rest.push([run[0], after]);
    if (run[1] > upto) rest.push([upto, run[1]]);
    return rest;
  });
}
