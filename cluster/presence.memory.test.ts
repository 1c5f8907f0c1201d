// The suite of presence within one process.
import { expect, test } from 'vitest';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { presenceContract } from './presence.contract.ts';
import { MemoryPresence } from './presence.memory.ts';

presenceContract('memory', async () => {
  const clock = new ManualClock();
  const presence = new MemoryPresence({ clock });
  clock.advance(limits.lingerMaxMs + 1);
  return {
    open: () => ({
      enter: presence.enter.bind(presence),
      leave: presence.leave.bind(presence),
      locate: presence.locate.bind(presence),
      leaseAgesMs: presence.leaseAgesMs.bind(presence),
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
  presence.enter(grace, 'edge-a', Activity.FOREGROUND);
  presence.leave(grace, 'edge-a', true);
  const nowhere = { edges: [], foreground: false, vanishedAtMs: undefined, known: true };
  expect(await presence.locate([ada, grace])).toEqual([{ ...nowhere, vanishedAtMs: startedMs }, nowhere]);
  clock.advance(limits.lingerMaxMs + 1);
  expect(await presence.locate([ada])).toEqual([nowhere]);
});
