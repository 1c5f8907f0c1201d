// From hints to an answer: who is here, who may be back, and when nobody may be taken for absent.
import { describe, expect, test } from 'vitest';
import { limits } from '../runtime/limits.ts';
import { isKnown, leaseAgeMs, readEdges, whereaboutsOf } from './presence-hints.redis.ts';

const NOW = 1_800_000_000_000;
const LEASE = limits.presenceLeaseMs;
const LINGER = limits.lingerMaxMs;

/** A store at NOW: its epoch began `epochMs` ago, the latest renewal was `atMs` ago, each edge as it lies in Redis. */
function store(epochMs: number, atMs: number, edges: Record<string, string> = {}) {
  const flat = ['epoch', `now ${NOW - epochMs}`, 'at', `${NOW - atMs}`];
  for (const [edge, value] of Object.entries(edges)) flat.push(`edge ${edge}`, value);
  return readEdges(NOW, flat);
}
const edge = (renewedMs: number, said = 'now', incarnation = 'i1', sinceMs = 1_000_000) =>
  `${incarnation} ${NOW - sinceMs} ${NOW - renewedMs} ${said}`;

describe('it is known', () => {
  const old = LINGER * 10;
  test.each([
    ['when every edge has said all', store(old, 0, { a: edge(0), b: edge(LEASE) }), old, true],
    ['when there is no edge', store(old, 0), old, true],
    [
      'when those who have not said it are gone',
      store(old, 0, { a: edge(0), b: edge(LEASE + 1, '') }),
      old,
      true,
    ],
    [
      'when those who have not said it have withdrawn',
      store(old, 0, { a: edge(0), b: edge(0, 'gone') }),
      old,
      true,
    ],
    ['not before an edge has said all', store(old, 0, { a: edge(0), b: edge(0, '') }), old, false],
    ['not while an edge has said it in another epoch', store(old, 0, { a: edge(0, 'then') }), old, false],
    ['not in the first lease of an epoch', store(LEASE - 1, 0, { a: edge(0) }), old, false],
    ['after the first lease of an epoch', store(LEASE, 0, { a: edge(0) }), old, true],
    ['not before this reader has seen for a lease', store(old, 0, { a: edge(0) }), LEASE - 1, false],
    ['not without an epoch', readEdges(NOW, []), old, false],
    ['not while all edges are silent', store(old, LEASE + 1, { a: edge(LEASE + 1) }), old, false],
    ['not when the clock has gone back', store(old, -1, { a: edge(-1) }), old, false],
    [
      'when all have been silent for too long to live',
      store(old, LINGER + 1, { a: edge(LINGER + 1) }),
      old,
      true,
    ],
    [
      'when all who are silent have withdrawn',
      store(old, LEASE + 1, { a: edge(LEASE + 1, 'gone') }),
      old,
      true,
    ],
  ])('%s', (_, edges, seeingAgoMs, known) => {
    expect(isKnown(edges, NOW - seeingAgoMs)).toBe(known);
  });
});

describe('a user', () => {
  const old = LINGER * 10;
  const two = store(old, 0, { a: edge(0), b: edge(0), dead: edge(LEASE + 500), left: edge(9_000, 'gone') });
  const here = (foreground: boolean, ...edges: string[]) => ({ edges, foreground, vanishedAtMs: undefined });
  const away = (agoMs?: number) => ({
    edges: [],
    foreground: false,
    vanishedAtMs: agoMs === undefined ? undefined : NOW - agoMs,
  });
  test.each([
    [
      'is on the edges that say so',
      [
        ['a', 'i1:1:f'],
        ['b', 'i1:9:b'],
      ],
      two,
      here(true, 'a', 'b'),
    ],
    [
      'is in the background when no stream is in front',
      [
        ['a', 'i1:1:b'],
        ['b', 'i1:9:b'],
      ],
      two,
      here(false, 'a', 'b'),
    ],
    [
      'is where a stream is, whatever ended elsewhere',
      [
        ['a', 'i1:1:b'],
        ['b', `i1:9:v${NOW}`],
      ],
      two,
      here(false, 'a'),
    ],
    ['of whom nothing is said is away', [], two, away()],
    [
      'vanished when the last stream did',
      [
        ['a', `i1:1:v${NOW - 70}`],
        ['b', `i1:9:v${NOW - 50}`],
      ],
      two,
      away(50),
    ],
    [
      'closed after another had vanished',
      [
        ['a', `i1:1:v${NOW - 70}`],
        ['b', `i1:9:c${NOW - 50}`],
      ],
      two,
      away(),
    ],
    [
      'vanished after another had closed',
      [
        ['a', `i1:1:v${NOW - 50}`],
        ['b', `i1:9:c${NOW - 70}`],
      ],
      two,
      away(50),
    ],
    ['lingers to the end', [['a', `i1:1:v${NOW - LINGER}`]], two, away(LINGER)],
    ['lingers no longer', [['a', `i1:1:v${NOW - LINGER - 1}`]], two, away()],
    ['of a dead edge vanished with its last renewal', [['dead', 'i1:1:f']], two, away(LEASE + 500)],
    ['of an edge that withdrew vanished then', [['left', 'i1:1:f']], two, away(9_000)],
    ['of an edge that was started anew long ago is away', [['a', 'i0:1:f']], two, away()],
    ['of an edge that nobody remembers is away', [['forgotten', 'i1:1:f']], two, away()],
    ['whom the store may have forgotten vanished when it did', [], store(400, 0, { a: edge(0) }), away(400)],
    [
      'who closed since the store forgot is away',
      [['a', `i1:1:c${NOW - 300}`]],
      store(400, 0, { a: edge(0) }),
      away(),
    ],
    [
      'who closed before that may have come back',
      [['a', `i1:1:c${NOW - 500}`]],
      store(400, 0, { a: edge(0) }),
      away(400),
    ],
    [
      'stays where they are while all edges are silent',
      [['a', 'i1:1:f']],
      store(old, LINGER / 2, { a: edge(LINGER / 2 + LEASE) }),
      here(true, 'a'),
    ],
    [
      'stays where they are until the edge could have renewed in a new epoch',
      [['a', 'i1:1:f']],
      store(LEASE, 0, { a: edge(old), b: edge(0) }),
      here(true, 'a'),
    ],
  ] satisfies [
    string,
    [string, string][],
    ReturnType<typeof store>,
    ReturnType<typeof away | typeof here>,
  ][])('%s', (_, entries, edges, expected) => {
    expect(whereaboutsOf(entries, edges)).toEqual(expected);
  });

  test('of an edge that was started a moment ago vanished then', () => {
    const edges = store(old, 0, { a: edge(0, 'now', 'i2', 700) });
    expect(whereaboutsOf([['a', 'i1:1:f']], edges)).toEqual(away(700));
  });
});

test('a lease has an age until it has run out or was given up', () => {
  const edges = store(LINGER, 0, { a: edge(250), late: edge(LEASE + 1), left: edge(0, 'gone') });
  expect(['a', 'late', 'left', 'nobody'].map((name) => leaseAgeMs(edges, name))).toEqual([
    250,
    undefined,
    undefined,
    undefined,
  ]);
});
