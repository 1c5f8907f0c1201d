// Ring: what it costs to say whose user it is, and to make the table anew when an edge joins.
import { Ring, type RingEdge, SLOTS, slotOf } from '../cluster/ring.ts';
import { fnv, mix } from '../cluster/ring-hash.ts';
import { limits } from '../runtime/limits.ts';
import { type Bench, type BenchContext, compareCosts, type Row } from './bench.ts';

const EDGES = 10;
const LOOK_UPS = 1_000_000;
const USERS = 10_000;
const LOOK_UP_NS = 100;
const STALL_MS = 20;

/** About 20 characters each. */
const users = Array.from({ length: USERS }, (_, n) => `user-${String(n * 7_919).padStart(15, '0')}`);
const nodes = Array.from({ length: EDGES }, (_, n) => `edge-${n}`);
const even: RingEdge[] = nodes.map((node) => ({ node, weight: 1 }));
const seeds = nodes.map((node) => fnv(node));

/** Rendezvous hashing without a table: a score for each edge at each look-up. */
function ownerWithoutTable(tenant: string, userId: string): string | undefined {
  const slot = slotOf(tenant, userId);
  let best = -1;
  let owner: string | undefined;
  for (let index = 0; index < EDGES; index++) {
    const score = mix((seeds[index] ?? 0) ^ slot);
    if (score <= best) continue;
    best = score;
    owner = nodes[index];
  }
  return owner;
}

/** CPU of this process, so that neighbours on the machine are not in it; milliseconds. */
function timed<T>(work: () => T): { made: T; ms: number } {
  const before = process.cpuUsage();
  const made = work();
  const { user, system } = process.cpuUsage(before);
  return { made, ms: (user + system) / 1_000 };
}

function lookUpNs(owner: (tenant: string, userId: string) => string | undefined): number {
  const { made: found, ms } = timed(() => {
    let owned = 0;
    for (let n = 0; n < LOOK_UPS; n++)
      if (owner('default', users[n % USERS] as string) !== undefined) owned++;
    return owned;
  });
  if (found !== LOOK_UPS) throw new Error('a user without an owner');
  return (ms * 1e6) / LOOK_UPS;
}

async function run({ rounds, progress, signal }: BenchContext): Promise<readonly Row[]> {
  const mixed = nodes.map((node, n) => ({ node, weight: 1 + (n % limits.ringWeightMax) }));
  const costs = { ours: [] as number[], without: [] as number[], cold: [] as number[], join: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    signal.throwIfAborted();
    progress(`round ${round + 1} of ${rounds}`);
    costs.cold.push(timed(() => Ring.of(mixed)).ms);
    const without = Ring.of(even.slice(1));
    const { made: ring, ms } = timed(() => Ring.of(even, without));
    costs.join.push(ms);
    costs.ours.push(lookUpNs((tenant, userId) => ring.owner(tenant, userId)));
    costs.without.push(lookUpNs(ownerWithoutTable));
  }
  const bound = (name: string, unit: string, ours: readonly number[], most: number): Row =>
    compareCosts({ goal: 'ring', name, unit, ours, other: ours.map(() => most), target: 1 });
  return [
    bound(
      `a look-up at ${EDGES} edges, with the hashing, against ${LOOK_UP_NS} ns`,
      'cpu_ns',
      costs.ours,
      LOOK_UP_NS,
    ),
    compareCosts({
      goal: 'ring',
      name: `a look-up at ${EDGES} edges, against rendezvous hashing without a table`,
      unit: 'cpu_ns',
      ours: costs.ours,
      other: costs.without,
      target: 1,
    }),
    bound(`the table when the tenth edge joins, against ${STALL_MS} ms`, 'cpu_ms', costs.join, STALL_MS),
    bound(
      `the first table of ${EDGES} edges of weight 1 to ${limits.ringWeightMax}, against ${STALL_MS} ms`,
      'cpu_ms',
      costs.cold,
      STALL_MS,
    ),
  ];
}

export const bench: Bench = {
  name: 'ring',
  goals: ['ring'],
  about:
    `whose user it is, by a table of ${SLOTS.toLocaleString('en-US')} slots; against the bounds that the design sets, and against computing a score for each edge ` +
    'at each look-up. User ids of 20 characters.',
  run,
};
