// The suite that every membership must pass.
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { EdgeMember, Membership } from './membership.ts';

export interface MembershipHarness extends AsyncDisposable {
  /** Each is as another process. */
  open(): Membership;
}

export function membershipContract(name: string, makeHarness: () => Promise<MembershipHarness>): void {
  describe(`membership in ${name}`, () => {
    let harness: MembershipHarness;
    let nodes = 0;
    let node = '';
    beforeAll(async () => {
      harness = await makeHarness();
    });
    beforeEach(() => {
      node = `edge-${nodes++}`;
    });
    afterAll(() => harness[Symbol.asyncDispose]());

    const member = (incarnation: string): EdgeMember => ({
      node,
      incarnation,
      linkAddress: `h:${incarnation}`,
    });
    const found = async (membership: Membership) =>
      (await membership.edges()).filter((each) => each.node === node);

    test('an edge is a member for everybody, from its announcement until it withdraws', async () => {
      await using edge = harness.open();
      await using router = harness.open();
      expect(await found(router)).toEqual([]);
      const announced = await edge.announce(member('0001'));
      await vi.waitFor(async () => expect(await found(router)).toEqual([member('0001')]));
      await announced[Symbol.asyncDispose]();
      expect(await found(router)).toEqual([]);
      await announced[Symbol.asyncDispose]();
    });

    test('a new incarnation takes the place of the old one, whose late end does not end it', async () => {
      await using edge = harness.open();
      const old = await edge.announce(member('0001'));
      await using _ = await edge.announce(member('0002'));
      expect(await found(edge)).toEqual([member('0002')]);
      await old[Symbol.asyncDispose]();
      expect(await found(edge)).toEqual([member('0002')]);
    });
  });
}
