// The suite that every presence must pass: who is where, who may be back in a second, and nothing older undoing something newer.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Presence, UserKey, Whereabouts } from './presence.ts';

export interface PresenceHarness extends AsyncDisposable {
  /** Each is as another process. */
  open(): Presence;
  now(): number;
  /** Moves time on, where that can be done; where it cannot, the suite waits for what comes with time. */
  elapse(ms: number): void;
}

/** A time-out for what is written behind one's back. */
const SOON = { timeout: 10_000, interval: 10 };

export function presenceContract(name: string, makeHarness: () => Promise<PresenceHarness>): void {
  describe(`presence in ${name}`, () => {
    let harness: PresenceHarness;
    let users = 0;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness[Symbol.asyncDispose]());

    const newUser = (tenant = 'default'): UserKey => ({ tenant, userId: `u-${users++}` });
    const where = async (presence: Presence, user: UserKey): Promise<Whereabouts | undefined> =>
      (await presence.locate([user]))[0];
    const becomes = (presence: Presence, user: UserKey, expected: Partial<Whereabouts>) =>
      vi.waitFor(async () => {
        const found = await where(presence, user);
        expect({ ...found, edges: [...(found?.edges ?? [])].sort() }).toMatchObject(expected);
      }, SOON);

    test('a user whom nobody has seen is nowhere', async () => {
      await using presence = harness.open();
      await becomes(presence, newUser(), { edges: [], vanishedAtMs: undefined });
      expect(await presence.locate([])).toEqual([]);
    });

    test('a user is on every edge that holds a stream, also for another process', async () => {
      await using edge = harness.open();
      await using router = harness.open();
      const user = newUser();
      edge.enter(user, 'edge-a');
      await becomes(router, user, { edges: ['edge-a'], vanishedAtMs: undefined });
      edge.enter(user, 'edge-b');
      await becomes(router, user, { edges: ['edge-a', 'edge-b'] });
      edge.leave(user, 'edge-a', true);
      await becomes(router, user, { edges: ['edge-b'], vanishedAtMs: undefined });
    });

    test('a client that closed is away; one that vanished may be back for as long as the linger', async () => {
      await using edge = harness.open();
      const [closed, vanished] = [newUser(), newUser()];
      edge.enter(closed, 'edge-a');
      edge.enter(vanished, 'edge-a');
      await becomes(edge, vanished, { edges: ['edge-a'] });
      const atMs = harness.now();
      edge.leave(closed, 'edge-a', true);
      edge.leave(vanished, 'edge-a', false);
      await becomes(edge, closed, { edges: [], vanishedAtMs: undefined });
      await becomes(edge, vanished, { edges: [], vanishedAtMs: expect.any(Number) as number });
      const found = await where(edge, vanished);
      expect(Math.abs((found?.vanishedAtMs ?? 0) - atMs)).toBeLessThan(2_000);
      harness.elapse(5_100);
      await becomes(edge, vanished, { edges: [], vanishedAtMs: undefined });
    });

    test('who comes back has not vanished', async () => {
      await using edge = harness.open();
      const user = newUser();
      edge.enter(user, 'edge-a');
      edge.leave(user, 'edge-a', false);
      await becomes(edge, user, { edges: [], vanishedAtMs: expect.any(Number) as number });
      edge.enter(user, 'edge-b');
      await becomes(edge, user, { edges: ['edge-b'], vanishedAtMs: undefined });
      edge.leave(user, 'edge-b', false);
      edge.enter(user, 'edge-b');
      await becomes(edge, user, { edges: ['edge-b'], vanishedAtMs: undefined });
    });

    test('leaving without having entered changes nothing', async () => {
      await using edge = harness.open();
      const user = newUser();
      edge.leave(user, 'edge-a', false);
      edge.enter(user, 'edge-b');
      await becomes(edge, user, { edges: ['edge-b'], vanishedAtMs: undefined });
      edge.leave(user, 'edge-a', true);
      edge.leave(user, 'edge-a', false);
      await becomes(edge, user, { edges: ['edge-b'], vanishedAtMs: undefined });
    });

    test('answers stand in the order of the question, tenants apart', async () => {
      await using edge = harness.open();
      const asked = [newUser('one'), newUser('two'), newUser('one')];
      const [first, second, third] = asked as [UserKey, UserKey, UserKey];
      edge.enter(first, 'edge-a');
      edge.enter(third, 'edge-b');
      await becomes(edge, third, { edges: ['edge-b'] });
      const same = { tenant: 'two', userId: first.userId };
      await vi.waitFor(async () => {
        const found = await edge.locate([third, second, same, first, third]);
        expect(found.map(({ edges }) => edges)).toEqual([['edge-b'], [], [], ['edge-a'], ['edge-b']]);
      }, SOON);
    });

    test('thousands of users enter at once and are all found', async () => {
      await using edge = harness.open();
      const many = Array.from({ length: 5_000 }, () => newUser('many'));
      for (const user of many) edge.enter(user, 'edge-a');
      await becomes(edge, many.at(-1) as UserKey, { edges: ['edge-a'] });
      for (let from = 0; from < many.length; from += 500)
        await vi.waitFor(async () => {
          const found = await edge.locate(many.slice(from, from + 500));
          expect(found.every(({ edges }) => edges[0] === 'edge-a')).toBe(true);
        }, SOON);
    });
  });
}
