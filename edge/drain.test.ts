// An edge that leaves sends its clients away one by one, and loses no ack that is on its way.
import { expect, test } from 'vitest';
import { limits } from '../runtime/limits.ts';
import { Admission, defaultAdmission } from './admission.ts';
import type { FakeStream } from './client-stream.fixture.ts';
import { drain } from './drain.ts';
import { settled, testHub } from './hub.fixture.ts';

function setUp(count: number) {
  const { hub, model, clock, presence, open } = testHub();
  const ids = { uuid: () => 'u', random: () => 0.5 };
  const admission = new Admission(defaultAdmission, clock, ids);
  const opened = Array.from({ length: count }, (_, index) => open(undefined, `user-${index}`));
  const begin = (signal?: AbortSignal) =>
    drain({ admission, sessions: () => hub.sessions(), clock, ids, signal });
  return { hub, model, clock, presence, admission, opened, begin };
}

const told = (streams: readonly { stream: FakeStream }[]) =>
  streams.filter(({ stream }) => stream.of('goAway').length > 0).length;

test('GoAways are spread, each with a time to come back, and new streams are refused', async () => {
  const { clock, admission, opened, begin, hub, presence } = setUp(2_000);
  await settled();
  const done = begin();
  expect(() => admission.admit({ streams: 0, ofUser: 0 })).toThrow('shutting down');
  const counts = [told(opened)];
  while (hub.streams > 0) {
    clock.advance(50);
    await settled();
    counts.push(told(opened));
  }
  await done;
  const most = Math.max(...counts.map((count, at) => count - (counts[at - 1] ?? 0)));
  expect(most).toBeLessThanOrEqual(20);
  expect(opened[0]!.stream.of('goAway')).toMatchObject([
    { reason: 'DRAIN', reconnectAfter: { seconds: 2n, nanos: 500_000_000 } },
  ]);
  expect(presence.filter((line) => line.startsWith('leave'))).toHaveLength(2_000);
});

test('a stream stays until it has acknowledged what it was sent, though not for ever', async () => {
  const { clock, opened, begin, model, hub } = setUp(3);
  await settled();
  const [quick, slow, gone] = opened;
  model.add();
  hub.changed(
    ['user-0', 'user-1', 'user-2'].map((userId) => ({ tenant: 'default', userId, head: 1 }) as never),
  );
  await settled();
  const done = begin();
  await settled();
  expect(opened.map(({ stream }) => stream.over)).toEqual([false, false, false]);
  quick!.session.acknowledged = 1;
  gone!.stream.close('client');
  await settled();
  clock.advance(50);
  await settled();
  expect([quick!.stream.over, slow!.stream.over]).toEqual([true, false]);
  clock.advance(limits.drainAckMs);
  await done;
  expect([slow!.stream.over, slow!.stream.error]).toEqual([true, undefined]);
});

test('a client that leaves because it was asked to counts as coming back', async () => {
  const { opened, begin, presence, model, hub, clock } = setUp(1);
  await settled();
  model.add();
  hub.changed([{ tenant: 'default', userId: 'user-0', head: 1 } as never]);
  await settled();
  const done = begin();
  await settled();
  opened[0]!.stream.close('client');
  await settled();
  clock.advance(50);
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
