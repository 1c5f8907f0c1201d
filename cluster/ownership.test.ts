// A user has one owner, and for as long as edges differ the former one too.
import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { MemoryMembership } from './membership.memory.ts';
import type { Member } from './membership.ts';
import { Ownership } from './ownership.ts';

let clock: ManualClock;
let membership: MemoryMembership;
/** What each linked edge has said. */
let said: Map<string, string | undefined>;

beforeEach(() => {
  clock = new ManualClock();
  membership = new MemoryMembership();
  said = new Map();
});

const member = (node: string, role: Member['role'] = 'edge'): Member => ({
  role,
  node,
  incarnation: '0001',
  address: `${node}:1`,
  url: '',
  weight: 1,
  zone: '',
});
const open = () =>
  new Ownership({ membership, clock, linked: () => [...said.keys()], viewOf: (edge) => said.get(edge) });
const allSay = (hash: string, ...edges: string[]) => {
  for (const edge of edges) said.set(edge, hash);
};
const users = Array.from({ length: 300 }, (_, n) => ({ tenant: 'default', userId: `user-${n}` }));
const several = (ownership: Ownership) => users.filter((user) => ownership.owners(user).length > 1);

test('without edges nobody owns a user', () => {
  using ownership = open();
  expect(ownership.owner(users[0]!)).toBeUndefined();
  expect(ownership.owners(users[0]!)).toEqual([]);
  expect(ownership.view).toBe(membership.view());
});

test('the owner is a member of the present view, and the first of the owners', async () => {
  await membership.announce(member('a'));
  using ownership = open();
  await membership.announce(member('b'));
  await membership.announce(member('router', 'router'));
  const owners = new Set<string>();
  for (const user of users) {
    const owner = ownership.owner(user);
    expect(owner).toEqual(member(owner?.node ?? ''));
    expect(ownership.owners(user)[0]).toBe(owner?.node);
    owners.add(owner?.node ?? '');
  }
  expect([...owners].sort()).toEqual(['a', 'b']);
  expect(ownership.member('b')).toEqual(member('b'));
  expect(ownership.member('router')).toBeUndefined();
});

test('the former owner is asked too until every linked edge has the present view', async () => {
  await membership.announce(member('a'));
  using ownership = open();
  const before = ownership.view.hash;
  allSay(before, 'a');
  await membership.announce(member('b'));
  const moved = several(ownership);
  expect(moved.length).toBeGreaterThan(100);
  for (const user of users)
    expect(ownership.owners(user)).toEqual(ownership.owner(user)?.node === 'b' ? ['b', 'a'] : ['a']);
  // Linked, and has not said anything yet.
  said.set('b', undefined);
  said.set('a', ownership.view.hash);
  expect(several(ownership)).toEqual(moved);
  said.set('b', ownership.view.hash);
  expect(several(ownership)).toEqual([]);
});

test('an edge that never says the present view is waited for no longer than the bound', async () => {
  await membership.announce(member('a'));
  using ownership = open();
  allSay(ownership.view.hash, 'a');
  await membership.announce(member('b'));
  clock.advance(limits.viewDifferMs - 1);
  expect(several(ownership)).not.toEqual([]);
  clock.advance(1);
  expect(several(ownership)).toEqual([]);
});

test('several changes in a row leave the owners of each of them, the newest first', async () => {
  const announced = await membership.announce(member('a'));
  using ownership = open();
  allSay(ownership.view.hash, 'a');
  await membership.announce(member('b'));
  const second = users.map((user) => ownership.owner(user)?.node);
  await membership.announce(member('c'));
  await announced[Symbol.asyncDispose]();
  for (const [index, user] of users.entries()) {
    const owners = ownership.owners(user);
    expect(owners[0]).toBe(ownership.owner(user)?.node);
    // The first view had `a` alone, which is not a member any more.
    expect(owners).toContain(second[index]);
    expect(owners).toContain('a');
  }
  for (let n = 0; n < 2 * limits.formerRingsCount; n++) await membership.announce(member(`more-${n}`));
  for (const user of users)
    expect(ownership.owners(user).length).toBeLessThanOrEqual(limits.formerRingsCount + 1);
});

test('routers come and go without moving anybody, and a closed ownership hears nothing more', async () => {
  await membership.announce(member('a'));
  const ownership = open();
  allSay('an older one', 'a');
  clock.advance(limits.viewDifferMs);
  await membership.announce(member('router', 'router'));
  expect(several(ownership)).toEqual([]);
  expect(ownership.view.members).toHaveLength(2);
  ownership[Symbol.dispose]();
  await membership.announce(member('b'));
  expect(ownership.member('b')).toBeUndefined();
});
