// The suite of presence within one process.
import { ManualClock } from '../runtime/clock.manual.ts';
import { presenceContract } from './presence.contract.ts';
import { MemoryPresence } from './presence.memory.ts';

presenceContract('memory', async () => {
  const clock = new ManualClock();
  const presence = new MemoryPresence({ clock });
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
