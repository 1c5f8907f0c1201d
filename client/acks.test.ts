// What one ack says of many runs: the longest as the range, what fits of the others, never more than a call may hold.
import { expect, test } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { Acks, ackOf } from './acks.ts';
import { clockOf, settled } from './clock.fixture.ts';
import { ClientError } from './failure.ts';
import { limits } from './limits.ts';

test('the longest run is the range, the others are extras', () => {
  expect(
    ackOf([
      [0, 1],
      [4, 9],
      [11, 12],
    ]),
  ).toEqual({
    range: [4, 9],
    extras: [
      [0, 1],
      [11, 12],
    ],
  });
});

test('what is longer than a call may hold goes in pieces', async () => {
  const calls: [number, number, number][] = [];
  const acks = new Acks({
    clock: clockOf(new ManualClock()),
    random: () => 0.5,
    send: async ({ after, upto, extra }) => void calls.push([after, upto, extra.length]),
    onLost: () => {},
  });
  acks.restore([
    [0, 2_500],
    [2_600, 3_700],
    [4_000, 4_001],
  ]);
  acks.session('s');
  await acks.flush();
  expect(acks.owed).toEqual([]);
  for (const [after, upto, extra] of calls) {
    expect(upto - after).toBeLessThanOrEqual(limits.ackSpanCount);
    expect(extra).toBeLessThanOrEqual(limits.ackExtraCount);
  }
  expect(calls.reduce((sum, [after, upto, extra]) => sum + upto - after + extra, 0)).toBe(3_601);
});

test('what the edge will never take is given up and told, and does not stop the rest', async () => {
  const lost: string[] = [];
  const sent: number[] = [];
  const acks = new Acks({
    clock: clockOf(new ManualClock()),
    random: () => 0.5,
    send: async ({ upto }) => {
      if (upto === 1) throw new ClientError({ remedy: 'none', reason: 'INVALID_REQUEST', message: 'no' });
      sent.push(upto);
    },
    onLost: ({ reason }) => lost.push(reason),
  });
  acks.session('s');
  acks.add({ seq: 1, previous: 0, critical: true, traceparent: '' });
  await settled();
  acks.add({ seq: 2, previous: 1, critical: true, traceparent: '' });
  await settled();
  expect([lost, sent]).toEqual([['INVALID_REQUEST'], [2]]);
});

test('where timers are slow nothing waits for one', async () => {
  const sent: number[] = [];
  const acks = new Acks({
    clock: clockOf(new ManualClock()),
    random: () => 0.5,
    send: async ({ upto }) => void sent.push(upto),
    onLost: () => {},
  });
  acks.session('s');
  acks.hurried = true;
  acks.add({ seq: 1, previous: 0, critical: false, traceparent: '' });
  await settled();
  expect(sent).toEqual([1]);
});

test('what waits is bounded: the oldest is given up, and told', () => {
  const lost: string[] = [];
  const acks = new Acks({
    clock: clockOf(new ManualClock()),
    random: () => 0.5,
    send: () => new Promise(() => {}),
    onLost: ({ reason }) => lost.push(reason),
  });
  for (let seq = 2; seq <= 2 * limits.ackRunsCount + 4; seq += 2)
    acks.add({ seq, previous: 0, critical: false, traceparent: '' });
  expect(acks.owed).toHaveLength(limits.ackRunsCount);
  expect(new Set(lost)).toEqual(new Set(['ACKS_LOST']));
});
