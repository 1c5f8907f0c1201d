// Which faults come when, from a seed alone: storms of some faults each, with a quiet stretch after every one.
import type { Chance } from './random.ts';

type FaultKind =
  /** kill -9, down for so long, started again. */
  | 'kill'
  /** SIGSTOP, SIGCONT. */
  | 'freeze'
  /** SIGTERM, away for so long, started again. */
  | 'leave'
  /** A further process of the target's role joins, stays for so long, and leaves. */
  | 'visit'
  /** SIGTERM to a store, away for so long, started again. */
  | 'restart'
  /** Redis forgets everything. */
  | 'flushall';

export interface PlannedFault {
  kind: FaultKind;
  /** A process, or a store. */
  target: string;
  forMs: number;
}

interface Step {
  /** From the beginning of the storm. */
  atMs: number;
  fault: PlannedFault;
}

export interface Storm {
  steps: readonly Step[];
  /** How long nothing happens after the mesh has had its time to recover. */
  quietMs: number;
}

/** A fault that a storm may draw: of this kind, on one of these. */
export interface Card {
  kind: FaultKind;
  among: readonly string[];
}

export interface PlanOptions {
  cards: readonly Card[];
  /** Processes of which at least one stays untouched in a storm: those of one role. Empty: all may be hit. */
  roles: readonly (readonly string[])[];
  faultsPerStorm: number;
}

/** Within which the faults of one storm begin. */
const STORM_MS = 20_000;
const QUIET_MS = { from: 15_000, upto: 20_000 };

function duration(kind: FaultKind, target: string, chance: Chance): number {
  switch (kind) {
    case 'kill':
      return chance.between(0, 8_000);
    // 5 to 60 s, more short ones than long ones.
    case 'freeze':
      return Math.round(5_000 + 55_000 * chance.next() ** 2);
    case 'leave':
      return chance.between(0, 5_000);
    case 'visit':
      return chance.between(3_000, 12_000);
    // Without Kafka nothing moves, and what waits must then be brought within the time to recover.
    case 'restart':
      return target === 'kafka' ? chance.between(0, 3_000) : Math.round(60_000 * chance.next() ** 3);
    case 'flushall':
      return 0;
  }
}

function shuffled<T>(of: readonly T[], chance: Chance): T[] {
  return of
    .map((one) => ({ one, rank: chance.next() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ one }) => one);
}

/** What of the card can still be hit in a storm that has hit `taken`. */
function targetOf(card: Card, taken: ReadonlySet<string>, options: PlanOptions, chance: Chance) {
  if (card.kind === 'visit') {
    // A storm sees one visitor of a role at most.
    const key = `visit ${card.among[0]}`;
    return taken.has(key) ? undefined : { key, target: card.among[0]! };
  }
  const free = card.among.filter((target) => {
    const role = options.roles.find((names) => names.includes(target));
    const untouched = role?.filter((name) => name !== target && !taken.has(name)) ?? [target];
    return !taken.has(target) && untouched.length > 0;
  });
  if (free.length === 0) return undefined;
  const target = chance.pick(free);
  return { key: target, target };
}

/** Storms without end. Cards come in turn; one that finds no target waits for the next storm, which may then be a smaller one. */
export function* storms(chance: Chance, options: PlanOptions): Generator<Storm, never> {
  let deck: Card[] = [];
  for (;;) {
    const taken = new Set<string>();
    const steps: Step[] = [];
    const passed: Card[] = [];
    while (steps.length < options.faultsPerStorm && passed.length < options.cards.length) {
      if (deck.length === 0) deck = shuffled(options.cards, chance);
      const card = deck.shift()!;
      const found = targetOf(card, taken, options, chance);
      if (!found) {
        passed.push(card);
        continue;
      }
      taken.add(found.key);
      const fault: PlannedFault = {
        kind: card.kind,
        target: found.target,
        forMs: duration(card.kind, found.target, chance),
      };
      steps.push({ atMs: chance.between(0, STORM_MS), fault });
    }
    deck.unshift(...passed);
    yield {
      steps: steps.toSorted((a, b) => a.atMs - b.atMs),
      quietMs: chance.between(QUIET_MS.from, QUIET_MS.upto),
    };
  }
}

export const textOf = ({ kind, target, forMs }: PlannedFault): string =>
  `${{ kill: 'kill -9', freeze: 'SIGSTOP', leave: 'leave', visit: 'join', restart: 'restart', flushall: 'FLUSHALL' }[kind]} ${target}${forMs > 0 ? ` for ${(forMs / 1_000).toFixed(1)} s` : ''}`;
