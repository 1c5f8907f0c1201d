// Storms: the same from the same seed, every card in turn, and never a whole role at once.
import { expect, test } from 'vitest';
import { type Card, type PlanOptions, type Storm, storms } from './plan.ts';
import { seeded } from './random.ts';

const edges = ['edge', 'edge-2', 'edge-3'];
const routers = ['router', 'router-2'];
const cards: Card[] = [
  { kind: 'kill', among: edges },
  { kind: 'freeze', among: edges },
  { kind: 'leave', among: edges },
  { kind: 'visit', among: edges },
  { kind: 'kill', among: routers },
  { kind: 'freeze', among: routers },
  { kind: 'restart', among: ['redis'] },
  { kind: 'flushall', among: ['redis'] },
  { kind: 'restart', among: ['kafka'] },
];
const options: PlanOptions = { cards, roles: [edges, routers], faultsPerStorm: 5 };

function take(seed: number, count: number): Storm[] {
  const plan = storms(seeded(seed), options);
  return Array.from({ length: count }, () => plan.next().value);
}

test('a seed says everything', () => {
  expect(take(7, 20)).toEqual(take(7, 20));
  expect(take(7, 20)).not.toEqual(take(8, 20));
});

test('every card comes as often as every other', () => {
  const faults = take(3, 40).flatMap(({ steps }) => steps.map(({ fault }) => fault));
  const times = cards.map(
    ({ kind, among }) => faults.filter((one) => one.kind === kind && among.includes(one.target)).length,
  );
  expect(Math.max(...times) - Math.min(...times)).toBeLessThanOrEqual(4);
  expect(Math.min(...times)).toBeGreaterThan(15);
});

test('in a storm nothing is hit twice, and one process of each role is left alone', () => {
  for (const { steps } of take(5, 200)) {
    const hit = steps.filter(({ fault }) => fault.kind !== 'visit').map(({ fault }) => fault.target);
    expect(new Set(hit).size).toBe(hit.length);
    for (const role of [edges, routers])
      expect(role.filter((name) => hit.includes(name)).length).toBeLessThan(role.length);
  }
});

test('freezes last 5 to 60 s, and every storm is followed by a quiet stretch', () => {
  const all = take(11, 300);
  const freezes = all.flatMap(({ steps }) =>
    steps.flatMap(({ fault }) => (fault.kind === 'freeze' ? fault.forMs : [])),
  );
  expect(Math.min(...freezes)).toBeGreaterThanOrEqual(5_000);
  expect(Math.min(...freezes)).toBeLessThan(7_000);
  expect(Math.max(...freezes)).toBeLessThanOrEqual(60_000);
  expect(Math.max(...freezes)).toBeGreaterThan(50_000);
  expect(Math.min(...all.map(({ quietMs }) => quietMs))).toBeGreaterThanOrEqual(15_000);
});

test('the one process of an embedded mesh is hit too', () => {
  const plan = storms(seeded(1), { cards: [{ kind: 'kill', among: ['up'] }], roles: [], faultsPerStorm: 3 });
  expect(plan.next().value.steps.map(({ fault }) => fault.target)).toEqual(['up']);
});
