// That a missing cell does not compile is a promise; here the compiler says that it keeps it.
import { expect, test } from 'vitest';
import type { EventKind, StateKind } from './machine.states.ts';
import { type Table, table } from './machine.ts';

type Without<S extends StateKind, E extends EventKind> = Omit<Table, S> & { [K in S]: Omit<Table[S], E> };

/** `true` for each cell without which a table is not a table. */
type Needed = {
  [S in StateKind]: { [E in EventKind]: Without<S, E> extends Table ? false : true };
};

/** Compiles only when every cell is needed. */
const needed: Record<StateKind, Record<EventKind, true>> = {} as Needed;

test('a table without any one of its cells does not compile', () => {
  expect(needed).toBeDefined();
  const events = Object.keys(table.idle).sort();
  for (const cells of Object.values(table)) expect(Object.keys(cells).sort()).toEqual(events);
});
