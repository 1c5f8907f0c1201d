// What a run looked like, in some lines to read: how fast it was, how much of it was disturbed, and how each storm was recovered from.
import { type Expected, expectedOf } from './arrivals.ts';
import { type Bounds, recoveryOf, undisturbed, windowsIn } from './checkers.ts';
import type { History } from './history.ts';
import type { Windows } from './windows.ts';

const REASONS = 5;
const SHARES = [0.5, 0.9, 0.99, 0.999] as const;

/** `p50 12 p90 … max 48 ms`; of nothing: `none`. */
function percentiles(of: readonly number[]): string {
  const sorted = of.toSorted((a, b) => a - b);
  if (sorted.length === 0) return 'none';
  const at = (share: number) => Math.round(sorted[Math.ceil(share * sorted.length) - 1]!);
  return `${SHARES.map((share) => `p${share * 100} ${at(share)}`).join(' ')} max ${at(1)} ms`;
}

function latencies(expected: readonly Expected[]): string[] {
  const seen = expected.flatMap(({ accepted, seen: one }) => (one ? [one.atMs - accepted.calledMs] : []));
  const acked = expected.flatMap(({ accepted, seen: one }) =>
    one?.ackedMs === undefined ? [] : [one.ackedMs - accepted.calledMs],
  );
  const answered = expected.map(({ accepted }) => accepted.answeredMs - accepted.calledMs);
  return [
    `call to answer ${percentiles(answered)}`,
    `call to handler ${percentiles(seen)}`,
    `call to ack ${percentiles(acked)}`,
  ];
}

const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;

/** How many calls of Send, and why the most. */
function refusals({ refusals: all }: History, windows: Windows): string {
  const outside = all.filter(({ atMs }) => !windows.touching(atMs, atMs)).length;
  const reasons = [...Map.groupBy(all, ({ why }) => why.replaceAll(/\d{4,}/g, '…'))]
    .sort(([, a], [, b]) => b.length - a.length)
    .slice(0, REASONS)
    .map(([why, of]) => `${of.length} × ${why}`);
  return [`${all.length} calls of Send, ${outside} outside windows`, ...reasons].join('; ');
}

export function summary(history: History, bounds: Bounds, fromMs: number, untilMs: number): string {
  const windows = windowsIn(history, bounds.recoveryMs, untilMs);
  const expected = expectedOf(history);
  const calm = new Set(undisturbed(history, windows, expected, bounds.usualMs));
  const insideMs = windows.insideMs(fromMs, untilMs);
  const lines = [
    `${seconds(untilMs - fromMs)} under load, ${history.faults.length} faults; inside fault windows ${seconds(insideMs)}, outside ${seconds(untilMs - fromMs - insideMs)}`,
    `outside  ${calm.size} messages`,
    ...latencies([...calm]).map((line) => `         ${line}`),
    `inside   ${expected.length - calm.size} messages`,
    ...latencies(expected.filter((one) => !calm.has(one))).map((line) => `         ${line}`),
    ...windows.all.map(
      (window) =>
        `window   ${seconds(window.beganMs - fromMs)} to ${seconds(window.endMs - fromMs)}, all acknowledged ${seconds(recoveryOf(window, expected))} after healing: ${window.faults.map(({ what }) => what).join(', ')}`,
    ),
    `refused  ${refusals(history, windows)}`,
  ];
  return `${lines.map((line) => `      ${line}\n`).join('')}`;
}

/** `cores`: what each process used on average; `pressure`: the part of the time in which somebody waited for a processor. */
export function cpuLines(cores: readonly [string, number][], pressure: number | undefined): string {
  const all = cores.reduce((sum, [, used]) => sum + used, 0);
  const waited =
    pressure === undefined ? '' : `; somebody waited for one ${Math.round(pressure * 100)} % of the time`;
  return `      cores    ${cores.map(([name, used]) => `${name} ${used.toFixed(2)}`).join(', ')}; all ${all.toFixed(2)}${waited}\n`;
}
