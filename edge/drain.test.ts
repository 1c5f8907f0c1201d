// An edge that leaves sends its clients away at a pace, each its own way, and loses no ack that is on its way.
import { expect, test } from 'vitest';
import type { Member } from '../cluster/membership.ts';
import { limits } from '../runtime/limits.ts';
import { Admission, defaultAdmission } from './admission.ts';
import type { FakeStream } from './client-stream.fixture.ts';
import { Departures } from './departures.ts';
import { drain } from './drain.ts';
import { settled, testHub } from './hub.fixture.ts';

const TICK_MS = 50;

function setUp(count: number, { perSecond = Number(limits.reconnectsPerSecond), url = '' } = {}) {
  const setting = testHub();
  const { hub, clock, metrics, open } = setting;
  const ids = { uuid: () => 'u', random: () => 0.5 };
  const admission = new Admission(defaultAdmission, clock, ids);
  const other: Member = {
    role: 'edge',
    node: 'edge-2',
    incarnation: 'i',
    address: '',
    url,
    weight: 1,
    zone: '',
  };
  /** Who is in the view: this edge, until it is known that it leaves. */
  const members = new Set<string>();
  const ownership = {
    owner: () => other,
    member: (node: string) => (members.has(node) ? { ...other, node } : undefined),
  };
  const departures = new Departures({ node: 'edge-1', ownership, clock, ids, metrics, perSecond });
  const opened = Array.from({ length: count }, (_, index) =>
    open(undefined, `user-${index}`, { mayRedirect: index % 2 === 1 }),
  );
  const begin = (signal?: AbortSignal) =>
    drain({
      node: 'edge-1',
      admission,
      departures,
      ownership,
      sessions: () => hub.sessions(),
      clock,
      signal,
    });
  /** Until nobody is left; what each 50 ms of it did. */
  const passing = async (each: () => void = () => {}) => {
    let passedMs = 0;
    for (; hub.streams > 0; passedMs += TICK_MS) {
      each();
      clock.advance(TICK_MS);
      await settled();
    }
    return passedMs;
  };
  return { ...setting, admission, opened, begin, members, passing };
}

type Opened = readonly { stream: FakeStream }[];
const told = (streams: Opened) => streams.filter(({ stream }) => stream.of('goAway').length > 0).length;
const goAwayOf = (streams: Opened, at: number) => streams[at]?.stream.of('goAway')[0];
const delayMs = (streams: Opened, at: number) => {
  const { seconds = 0n, nanos = 0 } = goAwayOf(streams, at)?.reconnectAfter ?? {};
  return Number(seconds) * 1_000 + nanos / 1e6;
};

test('GoAways go at the pace, each with a time to come back, and new streams are refused', async () => {
  const { admission, opened, begin, passing, presence, clock } = setUp(2_000, { perSecond: 500 });
  await settled();
  const done = begin();
  expect(() => admission.knock(undefined, 0)).toThrow('shutting down');
  const counts: number[] = [told(opened)];
  await passing(() => counts.push(told(opened)));
  await done;
  const inSecond = counts.map((count, at) => count - (counts[at - 20] ?? 0));
  expect(Math.max(...inSecond)).toBeLessThanOrEqual(525);
  expect(goAwayOf(opened, 0)).toMatchObject({ reason: 'DRAIN', edge: '' });
  expect(delayMs(opened, 0)).toBe(limits.goAwaySpreadMs / 2);
  expect(presence.filter((line) => line.startsWith('leave'))).toHaveLength(2_000);
  expect(clock.monotonic()).toBeGreaterThan(0);
});

test('however many there are it is over in time: who cannot be told in turn is told to come later', async () => {
  const { opened, begin, passing } = setUp(3_000, { perSecond: 100 });
  await settled();
  const done = begin();
  const tookMs = await passing();
  await done;
  expect(tookMs).toBeLessThanOrEqual(limits.drainTellMs + limits.drainAckMs);
  expect(told(opened)).toBe(3_000);
  // 1,800 in 18 s; the last of the others is due 12 s later.
  const last = delayMs(opened, 2_999);
  expect(last).toBeGreaterThan(11_000);
  expect(last).toBeLessThan(13_000);
});

test('who can go to single edges is told the way, and nobody before the others know that this edge leaves', async () => {
  const { opened, begin, passing, members, clock } = setUp(4, { url: 'https://edge-2.test' });
  await settled();
  members.add('edge-1');
  const done = begin();
  clock.advance(TICK_MS);
  await settled();
  expect(told(opened)).toBe(0);
  members.delete('edge-1');
  await passing();
  await done;
  expect([0, 1, 2, 3].map((at) => goAwayOf(opened, at)?.edge)).toEqual([
    '',
    'https://edge-2.test',
    '',
    'https://edge-2.test',
  ]);
});

test('a view that goes on naming this edge holds nobody up', async () => {
  const { begin, passing, members } = setUp(1);
  await settled();
  members.add('edge-1');
  const done = begin();
  expect(await passing()).toBeLessThanOrEqual(limits.drainLeaveMs + limits.drainAckMs);
  await done;
});

test('a stream stays until it has acknowledged what it was sent, though not for ever', async () => {
  const { clock, opened, begin, model, changed } = setUp(3);
  await settled();
  const [quick, slow, gone] = opened;
  model.add();
  for (const userId of ['user-0', 'user-1', 'user-2']) changed(1, userId);
  await settled();
  const done = begin();
  await settled();
  expect(opened.map(({ stream }) => stream.over)).toEqual([false, false, false]);
  quick!.session.acknowledged = 1;
  gone!.stream.close('client');
  await settled();
  clock.advance(TICK_MS);
  await settled();
  expect([quick!.stream.over, slow!.stream.over]).toEqual([true, false]);
  clock.advance(limits.drainAckMs);
  await done;
  expect([slow!.stream.over, slow!.stream.error]).toEqual([true, undefined]);
});

test('a client that leaves because it was asked to counts as coming back', async () => {
  const { opened, begin, presence, model, changed, clock } = setUp(1);
  await settled();
  model.add();
  changed(1, 'user-0');
  await settled();
  const done = begin();
  await settled();
  opened[0]!.stream.close('client');
  await settled();
  clock.advance(TICK_MS);
  await done;
  expect(presence).toEqual(['enter user-0', 'leave user-0']);
});

test('a second signal ends everything at once', async () => {
  const { opened, begin, hub } = setUp(500);
  await settled();
  const stop = new AbortController();
  const done = begin(stop.signal);
  stop.abort();
  await done;
  expect(opened.every(({ stream }) => stream.over)).toBe(true);
  await settled();
  expect(hub.streams).toBe(0);
});
