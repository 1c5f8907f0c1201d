// The suite that every membership must pass: who is in, what the view is called, and nothing older undoing something newer.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Member, Membership, View } from './membership.ts';
import { ringHash } from './ring.ts';

export interface MembershipHarness extends AsyncDisposable {
  /** Each is as another process of the same, new mesh. */
  open(): Membership;
}

const SOON = { timeout: 10_000, interval: 10 };

export function membershipContract(name: string, makeHarness: () => Promise<MembershipHarness>): void {
  describe(`membership in ${name}`, () => {
    let harness: MembershipHarness;
    let nodes = 0;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness[Symbol.asyncDispose]());

    const newMember = (role: Member['role'] = 'edge', incarnation = '0001'): Member => {
      const node = `${role}-${nodes++}`;
      return { role, node, incarnation, address: `h:${nodes}`, url: `http://${node}`, weight: 1, zone: 'z' };
    };
    const becomes = (membership: Membership, members: Member[]) =>
      vi.waitFor(() => expect(membership.view().members).toEqual(members), SOON);

    test('a member is one for everybody, from its announcement until it leaves', async () => {
      await using edge = harness.open();
      await using router = harness.open();
      const member = newMember();
      expect((await router.refresh()).members).toEqual([]);
      const announced = await edge.announce(member);
      expect((await router.refresh()).members).toEqual([member]);
      await becomes(edge, [member]);
      await announced[Symbol.asyncDispose]();
      await becomes(router, []);
      await becomes(edge, []);
      await announced[Symbol.asyncDispose]();
    });

    test('all have the same view under the same number, in one order', async () => {
      await using one = harness.open();
      await using two = harness.open();
      const members = [newMember('edge'), newMember('edge'), newMember('router')];
      await using _router = await one.announce(members[2] as Member);
      await using _second = await two.announce(members[1] as Member);
      await using _first = await one.announce(members[0] as Member);
      await vi.waitFor(() => {
        expect(one.view()).toEqual(two.view());
        expect(one.view().members).toEqual(members);
      }, SOON);
      expect(one.view().hash).toBe(ringHash(members.slice(0, 2)));
    });

    test('each change has a higher number; the hash is of the edges alone', async () => {
      await using membership = harness.open();
      const seen: View[] = [];
      const stop = membership.watch((view) => seen.push(view));
      expect(seen).toEqual([membership.view()]);
      const steps = async (...count: number[]) =>
        await vi.waitFor(() => expect(seen.at(-1)?.members.length).toBe(count[0]), SOON);
      const edge = await membership.announce(newMember('edge'));
      await steps(1);
      const withEdge = membership.view();
      const router = await membership.announce(newMember('router'));
      await steps(2);
      expect(membership.view().hash).toBe(withEdge.hash);
      await router[Symbol.asyncDispose]();
      await steps(1);
      expect(membership.view().hash).toBe(withEdge.hash);
      await edge[Symbol.asyncDispose]();
      await steps(0);
      expect(membership.view().hash).not.toBe(withEdge.hash);
      for (const [index, { number }] of seen.entries())
        if (index > 0) expect(number).toBeGreaterThan(seen[index - 1]?.number ?? 0n);
      stop();
      const told = seen.length;
      await using _ = await membership.announce(newMember());
      await vi.waitFor(() => expect(membership.view().members).toHaveLength(1), SOON);
      expect(seen).toHaveLength(told);
    });

    test('a node of two roles is two members', async () => {
      await using membership = harness.open();
      const edge = newMember();
      const router: Member = { ...edge, role: 'router' };
      await using _router = await membership.announce(router);
      const announced = await membership.announce(edge);
      await becomes(membership, [edge, router]);
      await announced[Symbol.asyncDispose]();
      await becomes(membership, [router]);
    });

    test('a new incarnation takes the place of the old one, whose late end does not end it', async () => {
      await using before = harness.open();
      await using after = harness.open();
      const old = newMember();
      const next = { ...old, incarnation: '0002', address: 'h:next', weight: 2 };
      const announced = await before.announce(old);
      await becomes(after, [old]);
      const { number, hash } = after.view();
      await using _ = await after.announce(next);
      await becomes(before, [next]);
      expect(before.view().number).toBeGreaterThan(number);
      expect(before.view().hash).not.toBe(hash);
      await announced[Symbol.asyncDispose]();
      expect((await after.refresh()).members).toEqual([next]);
      await using _late = await before.announce(old);
      expect((await after.refresh()).members).toEqual([next]);
    });
  });
}
