// The ring is the same in every language, moves no more users than it must, and spreads them evenly.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '../runtime/limits.ts';
import { Ring, type RingEdge, SLOTS, slotOf } from './ring.ts';

interface Vectors {
  users: { tenant: string; userId: string; slot: number }[];
  edgeSets: {
    edges: RingEdge[];
    hash: string;
    tableSha256: string;
    slotCounts: Record<string, number>;
    owners: string[];
  }[];
}

const vectors = JSON.parse(readFileSync(new URL('./ring.vectors.json', import.meta.url), 'utf8')) as Vectors;

const even = (...nodes: string[]): RingEdge[] => nodes.map((node) => ({ node, weight: 1 }));
const tableOf = (ring: Ring): (string | undefined)[] =>
  Array.from({ length: SLOTS }, (_, slot) => ring.nodeAt(slot));

/** The table as docs/ring.md writes it down: for each slot the owner's place among the names, two bytes, low byte first. */
function tableSha256(ring: Ring, edges: readonly RingEdge[]): string {
  const nodes = edges.map(({ node }) => node).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const bytes = Buffer.alloc(2 * SLOTS);
  for (const [slot, node] of tableOf(ring).entries())
    bytes.writeUInt16LE(nodes.indexOf(node ?? ''), 2 * slot);
  return createHash('sha256').update(bytes).digest('hex');
}

const SETS = 60;
/** Ten names each, of the kinds that people give. */
const nameSets: string[][] = Array.from({ length: SETS }, (_, set) =>
  Array.from(
    { length: 10 },
    (_, n) =>
      [
        `edge-${n}`,
        `edge-${set}-${n}`,
        `ip-10-${set}-0-${n}.internal`,
        `${set}${n}`,
        `kante-ü-${set * 10 + n}`,
      ][set % 5] as string,
  ),
);

describe('the vectors of docs/ring.md', () => {
  test('users have the slots that they have in every language', () => {
    for (const { tenant, userId, slot } of vectors.users) expect(slotOf(tenant, userId)).toBe(slot);
  });

  test.each(vectors.edgeSets)('$edges.length edges, view $hash', (wanted) => {
    const ring = Ring.of(wanted.edges.toReversed());
    expect(ring.hash).toBe(wanted.hash);
    expect(tableSha256(ring, wanted.edges)).toBe(wanted.tableSha256);
    for (const [node, count] of Object.entries(wanted.slotCounts))
      expect(ring.share(node)).toBe(count / SLOTS);
    expect(vectors.users.map(({ tenant, userId }) => ring.owner(tenant, userId))).toEqual(wanted.owners);
  });
});

test('a slot is of the UTF-8, whatever stands in the text', () => {
  const fnv = (bytes: Uint8Array) =>
    bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5);
  const mix = (hash: number) => {
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) >>> 0;
  };
  // Lone surrogates too: units drawn one by one.
  const text = fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units));
  fc.assert(
    fc.property(text, text, (tenant, userId) => {
      const bytes = Buffer.concat([Buffer.from(tenant), Buffer.of(0xff), Buffer.from(userId)]);
      expect(slotOf(tenant, userId)).toBe(mix(fnv(bytes)) >>> 16);
    }),
  );
});

test('without edges nobody owns anything', () => {
  const ring = Ring.of([]);
  expect([ring.owner('default', 'ada'), ring.nodeAt(0), ring.share('edge-1')]).toEqual([
    undefined,
    undefined,
    0,
  ]);
  expect(ring.hash).not.toBe(Ring.of(even('edge-1')).hash);
});

test('the order of the edges and what was known before make no difference', () => {
  const edges = [...even('a', 'b', 'c'), { node: 'd', weight: 4 }];
  const fresh = Ring.of(edges);
  const grown = Ring.of(edges.toReversed(), Ring.of(edges.slice(1), Ring.of([{ node: 'd', weight: 2 }])));
  expect(grown.hash).toBe(fresh.hash);
  expect(tableOf(grown)).toEqual(tableOf(fresh));
});

test('the hash tells apart what has another table, and nothing else', () => {
  const hash = (...edges: RingEdge[]) => Ring.of(edges).hash;
  const hashes = [
    hash(...even('a')),
    hash(...even('a', 'b')),
    hash(...even('ab')),
    hash({ node: 'a', weight: 2 }),
    hash({ node: 'a', weight: 2 }, { node: 'b', weight: 1 }),
    hash({ node: 'a', weight: 1 }, { node: 'b', weight: 2 }),
  ];
  expect(new Set(hashes).size).toBe(hashes.length);
  expect(hash({ node: 'a', weight: 1_000 })).toBe(hash({ node: 'a', weight: limits.ringWeightMax }));
  expect(hash({ node: 'a', weight: 0 })).toBe(hash({ node: 'a', weight: 1 }));
});

test('ten edges share the slots and the users: nobody has 5 % more than the mean', () => {
  for (const names of nameSets) {
    const ring = Ring.of(even(...names));
    for (const node of names) expect(ring.share(node) * names.length).toBeLessThanOrEqual(1.05);
  }
  const [names = []] = nameSets;
  const ring = Ring.of(even(...names));
  const counts = new Map<string, number>();
  const USERS = 200_000;
  for (let n = 0; n < USERS; n++) {
    const node = ring.owner('default', `user-${n}`) ?? '';
    counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  expect(counts.size).toBe(10);
  expect(Math.max(...counts.values()) / (USERS / 10)).toBeLessThanOrEqual(1.05);
});

test('a join takes users for itself only, a leave moves its own only, and no more than 1/n + 2 %', () => {
  for (const names of nameSets) {
    const [joiner = '', ...others] = names;
    const before = Ring.of(even(...others));
    const after = Ring.of(even(...names), before);
    let moved = 0;
    for (let slot = 0; slot < SLOTS; slot++) {
      if (before.nodeAt(slot) === after.nodeAt(slot)) continue;
      moved++;
      // Read backwards it is the leave.
      if (after.nodeAt(slot) !== joiner) throw new Error(`slot ${slot} moved between two others`);
    }
    expect(moved / SLOTS).toBeLessThanOrEqual(1 / names.length + 0.02);
    expect(moved / SLOTS).toBe(after.share(joiner));
  }
});

test('an edge of weight w has w times the users, and more weight only takes', () => {
  const edges = [...even('a', 'b'), { node: 'c', weight: 3 }];
  const ring = Ring.of(edges);
  expect(Math.abs(ring.share('c') - 3 / 5)).toBeLessThan(0.01);
  expect(Math.abs(ring.share('a') - 1 / 5)).toBeLessThan(0.01);
  const heavier = Ring.of([...even('a', 'b'), { node: 'c', weight: 4 }], ring);
  for (let slot = 0; slot < SLOTS; slot++)
    if (ring.nodeAt(slot) !== heavier.nodeAt(slot)) expect(heavier.nodeAt(slot)).toBe('c');
  expect(Math.abs(heavier.share('c') - 4 / 6)).toBeLessThan(0.01);
});
