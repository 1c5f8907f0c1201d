// Rows as people read them.
import type { Row } from './bench.ts';

const number = (value: number): string =>
  value >= 1_000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);

export function table(rows: readonly Row[]): string {
  const lines = [
    ['goal', 'what', 'ours', 'other', 'unit', 'ratio', 'target', ''],
    ...rows.map(({ goal, name, ours, other, unit, ratio, target, ok }) => [
      goal,
      name,
      number(ours),
      number(other),
      unit,
      ratio.toFixed(2),
      target === 0 ? '' : target.toFixed(2),
      target === 0 ? '' : ok ? 'ok' : 'MISSED',
    ]),
  ];
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line) => `  ${line.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd())
    .join('\n');
}
