// The suite of presence within one process.
import { expect, test } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { presenceContract } from './presence.contract.ts';
import { MemoryPresence } from './presence.memory.ts';

presenceContract('memory', async () => {
  const clock = new ManualClock();
  const presence = new MemoryPresence({ clock });
  clock.advance(limits.lingerMs + 1);
  return {
    open: () => ({
      enter: presence.enter.bind(presence),
      leave: presence.leave.bind(presence),
      locate: presence.locate.bind(presence),
      // One process has one presence, which outlives each who asks.
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
    now: () => clock.now(),
    elapse: (ms) => clock.advance(ms),
    [Symbol.asyncDispose]: () => presence[Symbol.asyncDispose](),
  };
});

test('after a restart, who has not been seen yet may be back for as long as the linger; who closed is away', async () => {
  const clock = new ManualClock();
  const startedMs = clock.now();
  await using presence = new MemoryPresence({ clock });
  const [ada, grace] = [
    { tenant: 'default', userId: 'ada' },
    { tenant: 'default', userId: 'grace' },
  ];
  presence.enter(grace, 'edge-a');
  presence.leave(grace, 'edge-a', true);
  expect(await presence.locate([ada, grace])).toEqual([
    { edges: [], vanishedAtMs: startedMs },
    { edges: [], vanishedAtMs: undefined },
  ]);
  clock.advance(limits.lingerMs + 1);
  expect(await presence.locate([ada])).toEqual([{ edges: [], vanishedAtMs: undefined }]);
});
