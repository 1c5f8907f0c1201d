// The suite of membership within one process.
import { membershipContract } from './membership.contract.ts';
import { MemoryMembership } from './membership.memory.ts';

membershipContract('memory', async () => {
  const membership = new MemoryMembership();
  return {
    open: () => ({
      announce: membership.announce.bind(membership),
      view: membership.view.bind(membership),
      refresh: membership.refresh.bind(membership),
      watch: membership.watch.bind(membership),
      // One process has one membership, which outlives each who asks.
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
    [Symbol.asyncDispose]: () => membership[Symbol.asyncDispose](),
  };
});
