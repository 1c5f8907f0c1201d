// Any events in any order: each leads where its cell says, every way that a cell names is taken, and what must hold in between does.
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  DeliverSchema,
  HelloSchema,
  Resume,
  UpdateSchema,
  WatermarkSchema,
} from '../gen/carillon/v1/edge_pb.ts';
import type { Failure, Remedy } from './failure.ts';
import { limits } from './limits.ts';
import type { Event, EventKind, EventOf, State, StateKind } from './machine.states.ts';
import { initial, step, table } from './machine.ts';

const failure: fc.Arbitrary<Failure> = fc.record({
  remedy: fc.constantFrom<Remedy>('wait', 'wait', 'wait', 'token', 'cursor', 'none'),
  reason: fc.constantFrom('UNREACHABLE', 'CURSOR_AHEAD'),
  message: fc.constant('it failed'),
  retryAfterMs: fc.option(fc.nat(400_000), { nil: undefined }),
});
const seq = fc.integer({ min: 1, max: 30 });
const place = (at: number) => ({ seq: at, cursor: `c${at}` });
const frame = fc.oneof(
  seq.map((at) => ({ case: 'deliver' as const, value: create(DeliverSchema, place(at)) })),
  seq.map((at) => ({ case: 'update' as const, value: create(UpdateSchema, place(at)) })),
  seq.map((at) => ({
    case: 'watermark' as const,
    value: create(WatermarkSchema, { sentThrough: at, cursor: `c${at}` }),
  })),
);
const resume = fc.constantFrom(
  Resume.RESUMED,
  Resume.RESUMED,
  Resume.PARTIAL,
  Resume.RESET,
  Resume.UNSPECIFIED,
);
/** One event of each kind. */
const arbitraries: { [E in EventKind]: fc.Arbitrary<EventOf<E>> } = {
  start: fc.constant({ kind: 'start' }),
  close: fc.constant({ kind: 'close' }),
  authorized: fc.constant({ kind: 'authorized' }),
  unauthorized: failure.map((its) => ({ kind: 'unauthorized', failure: its })),
  loaded: fc
    .option(seq, { nil: undefined })
    .map((at) => ({ kind: 'loaded', position: at ? place(at) : undefined })),
  hello: resume.map((its) => ({
    kind: 'hello',
    hello: create(HelloSchema, { sessionId: 's', resume: its, cursor: 'c' }),
  })),
  frame: frame.map((its) => ({ kind: 'frame', frame: its })),
  goAway: fc.record({
    kind: fc.constant('goAway' as const),
    reason: fc.constantFrom('DRAIN', 'AGE', 'MOVED'),
    afterMs: fc.option(fc.nat(400_000), { nil: undefined }),
    edge: fc.constantFrom('', 'http://e.test', 'https://e.test', 'nonsense'),
  }),
  reauthenticate: fc.constant({ kind: 'reauthenticate' }),
  stable: fc.constant({ kind: 'stable' }),
  ended: failure.map((its) => ({ kind: 'ended', failure: its })),
  waited: fc.constant({ kind: 'waited' }),
};
/** At each step one event of each kind, and which of them happens. */
const steps = fc.array(fc.tuple(fc.record(arbitraries), fc.nat()), { minLength: 1, maxLength: 40 });

const started = (): State => initial(['https://a.test', 'http://b.test'], true);

/** What must hold between two states. */
function check(before: State, at: Event, after: State, effects: ReturnType<typeof step>['effects']): void {
  const waits = effects.filter((effect) => effect.do === 'wait');
  // A state that waits has been told how long, and by nobody else.
  expect(waits).toHaveLength(
    (after.kind === 'waiting' && before.kind !== 'leaving' && before.kind !== 'waiting') ||
      (after.kind === 'leaving' && before.kind !== 'leaving')
      ? 1
      : 0,
  );
  for (const { ms } of waits) {
    expect(ms).toBeGreaterThanOrEqual(0);
    expect(ms).toBeLessThanOrEqual(Math.max(limits.reconnectMaxMs, limits.reconnectToldMs));
    const toldMs = 'failure' in at ? at.failure.retryAfterMs : 'afterMs' in at ? at.afterMs : undefined;
    if (toldMs !== undefined && at.kind !== 'goAway' && !cursorLost(before, after))
      expect(ms).toBeGreaterThanOrEqual(Math.min(toldMs, limits.reconnectToldMs));
  }
  // On one line positions rise, and what is handed on is new.
  if (after.line === before.line && after.cursorLost === before.cursorLost && at.kind !== 'loaded')
    expect(after.seq).toBeGreaterThanOrEqual(before.seq);
  for (const effect of effects)
    if (effect.do === 'item') {
      expect(effect.deliver.seq).toBeGreaterThan(before.seq);
      expect(effect.previous).toBe(before.seq);
    }
  const opened = effects.find((effect) => effect.do === 'open');
  if (opened && opened.do === 'open') expect(opened.url).toMatch(/^https?:\/\/[abe]\.test$/);
  expect(after.urlAt).toBeLessThan(after.urls.length);
  expect(after.moves).toBeLessThan(limits.movesCount);
  expect(after.refusals).toBeLessThanOrEqual(limits.refusalsCount);
}

const cursorLost = (before: State, after: State): boolean =>
  before.cursor !== undefined && after.cursor === undefined;

test('each event leads where its cell says, and keeps what must hold', () => {
  const taken = new Set<string>();
  fc.assert(
    fc.property(steps, fc.double({ min: 0, max: 0.999_999, noNaN: true }), (plan, chance) => {
      const world = { nowMs: 0, random: () => chance };
      let state = started();
      for (const [events, which] of plan) {
        world.nowMs += 7_000;
        const ways: State[] = [];
        for (const at of Object.values(events)) {
          const { state: after, effects } = step(state, at, world);
          const cell = table[state.kind][at.kind];
          if (cell === 'ignored') {
            expect(after).toBe(state);
            expect(effects).toEqual([]);
            continue;
          }
          expect(cell.to).toContain(after.kind);
          taken.add(`${state.kind} ${at.kind} ${after.kind}`);
          check(state, at, after, effects);
          // Where nothing more happens there is nothing more to see.
          if (after.kind !== 'closed') ways.push(after);
        }
        state = ways[which % ways.length] ?? state;
      }
    }),
    { numRuns: 500 },
  );
  const named = Object.entries(table).flatMap(([from, cells]) =>
    Object.entries(cells).flatMap(([kind, cell]) =>
      cell === 'ignored' ? [] : cell.to.map((to: StateKind) => `${from} ${kind} ${to}`),
    ),
  );
  expect(named.filter((way) => !taken.has(way))).toEqual([]);
});
