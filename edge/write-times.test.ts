// How long ago a frame was written is never overstated, and not understated by more than half.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WriteTimes } from './write-times.ts';

test('an answer is at most the true age, and at least about half of it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat(400), fc.nat(3_000), fc.nat(60_000)), {
        minLength: 1,
        maxLength: 200,
        size: 'max',
      }),
      fc.nat(30_000),
      (gaps, waitMs) => {
        let nowMs = 1_000_000;
        const times = new WriteTimes(0, nowMs);
        const written = gaps.map((gap, index) => {
          nowMs += gap;
          times.wrote(index + 1, nowMs);
          return nowMs;
        });
        nowMs += waitMs;
        const wrong = written.filter((atMs, index) => {
          const ago = times.agoMs(index + 1, nowMs);
          return ago > nowMs - atMs || ago < (nowMs - atMs) / 2 - 1_000;
        });
        expect(wrong).toEqual([]);
      },
    ),
    { interruptAfterTimeLimit: 10_000, markInterruptAsFailure: true },
  );
});

test('one frame is remembered exactly', () => {
  const times = new WriteTimes(4, 0);
  times.wrote(5, 10_000);
  expect([times.agoMs(4, 30_000), times.agoMs(5, 30_000)]).toEqual([30_000, 20_000]);
});
