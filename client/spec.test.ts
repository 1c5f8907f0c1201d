// The norm and the code are the same: the states, the events and every cell of the table.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { table } from './machine.ts';

const spec = readFileSync(join(import.meta.dirname, 'SPEC.md'), 'utf8');

/** The rows of the table under a heading, without its head. */
function rowsOf(heading: string): string[][] {
  const section = spec.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return section
    .split('\n')
    .filter((line) => line.startsWith('|') && !line.startsWith('|---'))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

const names = (cell: string | undefined): string[] =>
  [...(cell ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name ?? '');
const states = Object.keys(table).sort();
const events = Object.keys(table.idle).sort();

describe('SPEC.md', () => {
  test('names every state and every event, and no other', () => {
    expect(
      rowsOf('States')
        .slice(1)
        .flatMap(([cell]) => names(cell))
        .sort(),
    ).toEqual(states);
    expect(
      rowsOf('Events')
        .slice(1)
        .flatMap(([cell]) => names(cell))
        .sort(),
    ).toEqual(events);
  });

  test('has the table of the code', () => {
    const [head, ...rows] = rowsOf('The table');
    const columns = (head ?? []).slice(1).flatMap(names);
    expect([...columns].sort()).toEqual(states);
    const said = rows.flatMap(([event, ...cells]) =>
      cells.map((cell, index) => `${columns[index]} ${names(event)}: ${cell === '·' ? 'ignored' : cell}`),
    );
    const coded = Object.entries(table).flatMap(([state, cells]) =>
      Object.entries(cells).map(
        ([event, cell]) => `${state} ${event}: ${cell === 'ignored' ? cell : cell.to.join(', ')}`,
      ),
    );
    expect(said.sort()).toEqual(coded.sort());
  });
});
