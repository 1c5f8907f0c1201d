// A provider's rate: never more than was said, each lane its part, less when it throttles, and back again.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { laneNames } from './lanes.ts';
import { Rate } from './rate.ts';

/** Takes all that it can get for `ms`, asking every millisecond, by lanes that always want. */
function greedy(rate: Rate, clock: ManualClock, lanes: readonly (typeof laneNames)[number][], ms: number) {
  const taken = { critical: 0, normal: 0, bulk: 0 };
  for (let at = 0; at < ms; at++) {
    for (const lane of lanes) while (rate.take(lane) === 0) taken[lane] += 1;
    clock.advance(1);
  }
  return taken;
}

describe('a rate', () => {
  it('is kept in every window, whoever asks and however long it was idle', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.array(
          fc.record({
            idleMs: fc.nat(3_000),
            lane: fc.constantFrom(...laneNames),
            calls: fc.nat(50),
          }),
          { maxLength: 40 },
        ),
        (perSecond, asks) => {
          const clock = new ManualClock();
          const rate = new Rate(clock, perSecond);
          const calls: number[] = [];
          for (const { idleMs, lane, calls: count } of asks) {
            clock.advance(idleMs);
            for (let n = 0; n < count; n++) if (rate.take(lane) === 0) calls.push(clock.monotonic());
          }
          // Full buckets at first, and what came since: for windows that begin at any call.
          const burst = 2 * perSecond * limits.providerRateBurst + 4;
          let worst = 0;
          for (const [first, fromMs] of calls.entries())
            for (let last = first; last < calls.length; last++)
              worst = Math.max(worst, last - first + 1 - (perSecond * (calls[last]! - fromMs)) / 1000);
          expect(worst).toBeLessThanOrEqual(burst);
        },
      ),
    );
  });

  it('gives each lane its share when all want more than there is', () => {
    const clock = new ManualClock();
    const rate = new Rate(clock, 100);
    greedy(rate, clock, laneNames, 1_000);
    const taken = greedy(rate, clock, ['bulk', 'normal', 'critical'], 10_000);
    for (const lane of laneNames)
      expect(taken[lane]).toBeCloseTo(1_000 * limits.providerRateShares[lane], -1.5);
  });

  it('leaves to others what a lane does not use', () => {
    const clock = new ManualClock();
    const rate = new Rate(clock, 100);
    greedy(rate, clock, ['bulk'], 2_000);
    expect(greedy(rate, clock, ['bulk'], 10_000).bulk).toBeCloseTo(1_000, -1.5);
  });

  it('has room for an OTP at any moment of a bulk blast', () => {
    const clock = new ManualClock();
    const rate = new Rate(clock, 20);
    for (let second = 0; second < 10; second++) {
      greedy(rate, clock, ['bulk'], 1_000);
      expect(rate.take('critical')).toBe(0);
    }
  });

  it('says when it is worth to ask again', () => {
    const clock = new ManualClock();
    const rate = new Rate(clock, 2);
    while (rate.take('critical') === 0);
    const waitMs = rate.take('critical');
    expect(waitMs).toBeGreaterThan(0);
    expect(waitMs).toBeLessThanOrEqual(1_000);
    clock.advance(1_000);
    expect(rate.take('critical')).toBe(0);
  });
});

describe('throttled answers', () => {
  it('halve the rate, those of one second once', () => {
    const clock = new ManualClock();
    const rate = new Rate(clock, 100);
    greedy(rate, clock, laneNames, 2_000);
    const calls = rate.perSecond;
    for (let n = 0; n < 16; n++) rate.throttled();
    expect(rate.perSecond).toBe(calls * limits.providerRateCut);
    clock.advance(limits.providerRateCutMs);
    rate.throttled();
    expect(rate.perSecond).toBeLessThanOrEqual(calls * limits.providerRateCut ** 2);
  });

  it('begin at what was called, where no rate was said, and end when it bounds nothing any more', () => {
    const clock = new ManualClock();
    const rate = new Rate(clock);
    expect(rate.perSecond).toBe(Number.POSITIVE_INFINITY);
    for (let n = 0; n < 60; n++) expect(rate.take('normal')).toBe(0);
    rate.throttled();
    expect(rate.perSecond).toBe(30);
    for (let seconds = 0; seconds < 200 && Number.isFinite(rate.perSecond); seconds++) {
      clock.advance(1_000);
      const before = rate.perSecond;
      rate.worked();
      expect(rate.perSecond).toBeGreaterThan(before);
    }
    expect(rate.perSecond).toBe(Number.POSITIVE_INFINITY);
  });

  it('are forgotten step by step, up to what was said and no further', () => {
    const clock = new ManualClock();
    const rate = new Rate(clock, 40);
    greedy(rate, clock, laneNames, 2_000);
    rate.throttled();
    const cut = rate.perSecond;
    clock.advance(1_000);
    rate.worked();
    expect(rate.perSecond).toBeCloseTo(cut + Math.max(1, 40 * limits.providerRateStep), 0);
    for (let n = 0; n < 60; n++) {
      clock.advance(1_000);
      rate.worked();
    }
    expect(rate.perSecond).toBe(40);
  });

  it('settle near what a provider takes, whatever that is', () => {
    for (const takes of [5, 50, 300]) {
      const clock = new ManualClock();
      const rate = new Rate(clock);
      let sum = 0;
      for (let second = 0; second < 120; second++) {
        let calls = 0;
        for (let at = 0; at < 1_000; at += 5) {
          while (calls < takes * 4 && rate.take('normal') === 0) {
            calls += 1;
            if (calls > takes) rate.throttled();
            else rate.worked();
          }
          clock.advance(5);
        }
        if (second >= 20) sum += Math.min(calls, takes);
      }
      expect(sum / 100).toBeGreaterThan(takes * 0.6);
    }
  });
});
