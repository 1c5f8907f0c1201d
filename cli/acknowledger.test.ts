// What was handled is acknowledged, all of it and nothing else, however the calls go.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { Acknowledger, ackRange } from './acknowledger.ts';

test('a range and its extras cover exactly what was handled', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 }), (seqs) => {
      const { after, upto, extra } = ackRange(seqs);
      const covered = [...Array.from({ length: upto - after }, (_, index) => after + 1 + index), ...extra];
      expect(covered.sort((a, b) => a - b)).toEqual([...new Set(seqs)].sort((a, b) => a - b));
    }),
  );
});

function edge(answers: ('ok' | 'fails')[]) {
  const calls: { after: number; upto: number; extra: number[]; traceparents: string[] }[] = [];
  const client = {
    ack(request: (typeof calls)[number]) {
      calls.push(request);
      return answers.shift() === 'fails' ? Promise.reject(new Error('away')) : Promise.resolve({});
    },
  };
  return { calls, client: client as unknown as ConstructorParameters<typeof Acknowledger>[0] };
}

test('items that come while a call is under way go together in the next', async () => {
  const { calls, client } = edge([]);
  const acked: number[] = [];
  const acknowledger = new Acknowledger(client, new ManualClock(), (items) =>
    acked.push(...items.map(({ seq }) => seq)),
  );
  for (let seq = 1; seq <= 5; seq++) acknowledger.add({ seq, traceparent: seq === 2 ? 'trace' : '' });
  await acknowledger.idle();
  expect(calls.map(({ after, upto }) => [after, upto])).toEqual([
    [0, 1],
    [1, 5],
  ]);
  expect(calls[1]?.traceparents).toEqual(['trace']);
  expect(acked).toEqual([1, 2, 3, 4, 5]);
});

test('a call that failed is made again with everything', async () => {
  const clock = new ManualClock();
  const { calls, client } = edge(['fails']);
  const acknowledger = new Acknowledger(client, clock);
  acknowledger.add({ seq: 7, traceparent: '' });
  const idle = acknowledger.idle();
  await expect.poll(() => calls.length).toBe(1);
  acknowledger.add({ seq: 8, traceparent: '' });
  await expect
    .poll(() => {
      clock.advance(1_000);
      return calls.length;
    })
    .toBe(2);
  await idle;
  expect(calls[1]).toMatchObject({ after: 6, upto: 8, extra: [] });
});
