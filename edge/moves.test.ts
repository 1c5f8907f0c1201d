// A changed ring moves streams later, at a pace, only those that can go, and nobody when it has changed back.
import { expect, onTestFinished, test } from 'vitest';
import type { Member } from '../cluster/membership.ts';
import type { UserKey } from '../cluster/presence.ts';
import { limits } from '../runtime/limits.ts';
import type { FakeStream } from './client-stream.fixture.ts';
import { Departures } from './departures.ts';
import { settled, testHub } from './hub.fixture.ts';
import { Moves } from './moves.ts';

const COUNT = 1_000;

function setUp() {
  const setting = testHub();
  const { clock, hub, metrics, open } = setting;
  const ids = { uuid: () => 'u', random: () => 0.5 };
  const member = (node: string): Member => ({
    role: 'edge',
    node,
    incarnation: 'i',
    address: '',
    url: `https://${node}.test`,
    weight: 1,
    zone: '',
  });
  const ring = { owner: (_user: UserKey) => member('edge-1') };
  const ownership = { owner: (user: UserKey) => ring.owner(user), member };
  const departures = new Departures({ node: 'edge-1', ownership, clock, ids, metrics, perSecond: 1_000 });
  const moves = new Moves({ sessions: () => hub.sessions(), departures, clock });
  onTestFinished(() => moves[Symbol.dispose]());
  const streams = Array.from(
    { length: COUNT },
    (_, at) => open(undefined, `u${at}`, { mayRedirect: at % 4 !== 0 }).stream,
  );
  /** Half of the users are edge-2's. */
  const split = () => {
    ring.owner = ({ userId }) => member(Number(userId.slice(1)) % 2 === 0 ? 'edge-1' : 'edge-2');
  };
  const pass = async (ms: number) => {
    for (let passedMs = 0; passedMs < ms; passedMs += limits.ringMovesTickMs) {
      clock.advance(limits.ringMovesTickMs);
      await settled();
    }
  };
  return { ...setting, moves, streams, split, pass };
}

const told = (streams: readonly FakeStream[]) =>
  streams.filter((stream) => stream.of('goAway').length > 0).length;

test('those that can go are told where, at a pace, once the view has stood', async () => {
  const { moves, streams, split, pass } = setUp();
  moves.look({ hash: 'one' });
  await pass(limits.viewSettledMs + 1_000);
  expect(told(streams)).toBe(0);
  split();
  moves.look({ hash: 'two' });
  await pass(limits.viewSettledMs);
  expect(told(streams)).toBe(0);
  await pass(1_000);
  expect(told(streams)).toBeGreaterThan(limits.ringMovesPerSecond * 0.8);
  expect(told(streams)).toBeLessThanOrEqual(limits.ringMovesPerSecond * 1.2);
  await pass(5_000);
  // Odd users are edge-2's; users whose number a four divides cannot go, and are even.
  expect(streams.map((stream) => stream.of('goAway')[0]?.edge)).toEqual(
    streams.map((_, at) => (at % 2 === 1 ? 'https://edge-2.test' : undefined)),
  );
  expect(streams[1]!.of('goAway')).toMatchObject([{ reason: 'MOVED' }]);
});

test('a view that flaps moves nobody', async () => {
  const { moves, streams, split, pass } = setUp();
  moves.look({ hash: 'one' });
  await pass(limits.viewSettledMs + 100);
  split();
  for (let count = 0; count < 5; count++) {
    moves.look({ hash: 'two' });
    await pass(limits.viewSettledMs - 500);
    moves.look({ hash: 'one' });
    await pass(500);
  }
  await pass(10_000);
  expect(told(streams)).toBe(0);
});

test('a change in the middle of a move stops it until the new view has stood', async () => {
  const { moves, streams, split, pass } = setUp();
  split();
  moves.look({ hash: 'two' });
  await pass(limits.viewSettledMs + 500);
  const then = told(streams);
  expect(then).toBeGreaterThan(0);
  moves.look({ hash: 'three' });
  await pass(limits.viewSettledMs - 100);
  expect(told(streams)).toBe(then);
  await pass(4_000);
  expect(told(streams)).toBe(COUNT / 2);
});

test('a change that passes in the middle of a move does not leave the rest where they are', async () => {
  const { moves, streams, split, pass } = setUp();
  split();
  moves.look({ hash: 'two' });
  await pass(limits.viewSettledMs + 500);
  moves.look({ hash: 'three' });
  await pass(1_000);
  moves.look({ hash: 'two' });
  await pass(limits.viewSettledMs + 5_000);
  expect(told(streams)).toBe(COUNT / 2);
});
