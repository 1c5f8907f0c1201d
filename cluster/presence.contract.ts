// The suite that every presence must pass: who is where, who may be back in a second, and nothing older undoing something newer.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Presence, UserKey, Whereabouts } from './presence.ts';

export interface PresenceHarness extends AsyncDisposable {
  /** Each is as another process. */
  open(): Presence;
  now(): number;
  /** Moves time on, where that can be done; undefined where it cannot. */
  elapse?(ms: number): void;
}

/** A time-out for what is written behind one's back. */
const SOON = { timeout: 20_000, interval: 10 };
const { FOREGROUND, BACKGROUND } = Activity;
const nowhere: Whereabouts = { edges: [], foreground: false, vanishedAtMs: undefined, known: true };
const at = (...edges: string[]): Whereabouts => ({ ...nowhere, edges, foreground: true });
const behind = (...edges: string[]): Whereabouts => ({ ...nowhere, edges });
const vanished: Whereabouts = { ...nowhere, vanishedAtMs: expect.any(Number) as number };

export function presenceContract(name: string, makeHarness: () => Promise<PresenceHarness>): void {
  describe(`presence in ${name}`, () => {
    let harness: PresenceHarness;
    let users = 0;
    let edges = 0;
    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness[Symbol.asyncDispose]());

    const newUser = (tenant = 'default'): UserKey => ({ tenant, userId: `u-${users++}` });
    /** Edges of this test alone, in the order of their names. */
    const newEdges = (): [string, string] => [`edge-${edges++}a`, `edge-${edges++}b`];
    const where = async (presence: Presence, user: UserKey): Promise<Whereabouts | undefined> => {
      const [found] = await presence.locate([user]);
      return found && { ...found, edges: [...found.edges].sort() };
    };
    const becomes = (presence: Presence, user: UserKey, expected: Whereabouts) =>
      vi.waitFor(async () => expect(await where(presence, user)).toEqual(expected), SOON);

    test('a user whom nobody has seen is nowhere', async () => {
      await using presence = harness.open();
      await becomes(presence, newUser(), nowhere);
      expect(await presence.locate([])).toEqual([]);
    });

    test('a user is on every edge that holds a stream, also for another process', async () => {
      const [a, b] = newEdges();
      await using edge = harness.open();
      await using router = harness.open();
      const user = newUser();
      edge.enter(user, a, FOREGROUND);
      await becomes(router, user, at(a));
      edge.enter(user, b, FOREGROUND);
      await becomes(router, user, at(a, b));
      edge.leave(user, a, true);
      await becomes(router, user, at(b));
    });

    test('a user is in the foreground while one stream on some edge is', async () => {
      const [a, b] = newEdges();
      await using edge = harness.open();
      const user = newUser();
      edge.enter(user, a, BACKGROUND);
      await becomes(edge, user, behind(a));
      edge.enter(user, b, FOREGROUND);
      await becomes(edge, user, at(a, b));
      edge.enter(user, b, BACKGROUND);
      await becomes(edge, user, behind(a, b));
      edge.enter(user, a, FOREGROUND);
      await becomes(edge, user, at(a, b));
      edge.leave(user, a, false);
      await becomes(edge, user, behind(b));
    });

    test('a client that closed is away; one that vanished may be back for the longest linger', async () => {
      const [a] = newEdges();
      await using edge = harness.open();
      const [closed, gone] = [newUser(), newUser()];
      edge.enter(closed, a, FOREGROUND);
      edge.enter(gone, a, FOREGROUND);
      await becomes(edge, gone, at(a));
      const atMs = harness.now();
      edge.leave(closed, a, true);
      edge.leave(gone, a, false);
      await becomes(edge, closed, nowhere);
      await becomes(edge, gone, vanished);
      const found = await where(edge, gone);
      expect(Math.abs((found?.vanishedAtMs ?? 0) - atMs)).toBeLessThan(5_000);
      if (!harness.elapse) return;
      harness.elapse(limits.lingerMaxMs);
      await becomes(edge, gone, vanished);
      harness.elapse(1);
      await becomes(edge, gone, nowhere);
    });

    test('who closes on the last edge is away, though another one had vanished before', async () => {
      const [a, b] = newEdges();
      await using edge = harness.open();
      const user = newUser();
      edge.enter(user, a, FOREGROUND);
      edge.enter(user, b, FOREGROUND);
      edge.leave(user, a, false);
      await becomes(edge, user, at(b));
      edge.leave(user, b, true);
      await becomes(edge, user, nowhere);
    });

    test('who comes back has not vanished', async () => {
      const [a, b] = newEdges();
      await using edge = harness.open();
      const user = newUser();
      edge.enter(user, a, FOREGROUND);
      edge.leave(user, a, false);
      await becomes(edge, user, vanished);
      edge.enter(user, b, FOREGROUND);
      await becomes(edge, user, at(b));
      edge.leave(user, b, false);
      edge.enter(user, b, BACKGROUND);
      await becomes(edge, user, behind(b));
    });

    test('leaving without having entered changes nothing', async () => {
      const [a, b] = newEdges();
      await using edge = harness.open();
      const user = newUser();
      edge.leave(user, a, false);
      edge.enter(user, b, FOREGROUND);
      await becomes(edge, user, at(b));
      edge.leave(user, a, true);
      edge.leave(user, a, false);
      await becomes(edge, user, at(b));
    });

    test('answers stand in the order of the question, tenants apart', async () => {
      const [a, b] = newEdges();
      await using edge = harness.open();
      const asked = [newUser('one'), newUser('two'), newUser('one')];
      const [first, second, third] = asked as [UserKey, UserKey, UserKey];
      edge.enter(first, a, FOREGROUND);
      edge.enter(third, b, FOREGROUND);
      await becomes(edge, third, at(b));
      const same = { tenant: 'two', userId: first.userId };
      await vi.waitFor(async () => {
        const found = await edge.locate([third, second, same, first, third]);
        expect(found.map(({ edges }) => edges)).toEqual([[b], [], [], [a], [b]]);
      }, SOON);
    });

    test('thousands of users enter at once and are all found', async () => {
      const [a] = newEdges();
      await using edge = harness.open();
      const many = Array.from({ length: 5_000 }, () => newUser('many'));
      for (const user of many) edge.enter(user, a, FOREGROUND);
      await becomes(edge, many.at(-1) as UserKey, at(a));
      await vi.waitFor(async () => {
        const found = await edge.locate(many);
        expect(found.every(({ edges }) => edges[0] === a)).toBe(true);
      }, SOON);
    });

    test('an edge that says something has a lease, and it is young', async () => {
      const [a] = newEdges();
      await using edge = harness.open();
      edge.enter(newUser(), a, FOREGROUND);
      await vi.waitFor(async () => {
        const [age] = await edge.leaseAgesMs([a]);
        expect(age).toBeGreaterThanOrEqual(0);
        expect(age).toBeLessThanOrEqual(limits.presenceLeaseMs);
      }, SOON);
      expect(await edge.leaseAgesMs([])).toEqual([]);
    });
  });
}
