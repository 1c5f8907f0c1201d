// Whatever providers answer, a delivery goes one definite way, and it always comes to an end.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { ambiguousWaitMs, mayGoElsewhere, next, settle } from './next.ts';
import type { Outcome } from './provider.ts';

const reason = fc.string({ minLength: 1, maxLength: 20 });
const delay = fc.integer({ min: 0, max: 10_000_000 });
const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  reason.map((messageId): Outcome => ({ kind: 'sent', messageId })),
  fc.tuple(reason, fc.option(delay, { nil: undefined })).map(
    ([text, retryAfterMs]): Outcome => ({
      kind: 'transient',
      reason: text,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    }),
  ),
  delay.map((retryAfterMs): Outcome => ({ kind: 'throttled', retryAfterMs })),
  reason.map((text): Outcome => ({ kind: 'permanent', reason: text, address: 'gone' })),
  reason.map((text): Outcome => ({ kind: 'permanent', reason: text, policy: true })),
  reason.map((text): Outcome => ({ kind: 'down', reason: text })),
  reason.map((text): Outcome => ({ kind: 'config', reason: text })),
  reason.map((text): Outcome => ({ kind: 'unknown', reason: text })),
);
const lane = fc.constantFrom(Lane.CRITICAL, Lane.NORMAL, Lane.BULK);
const retryMs = fc.array(fc.integer({ min: 1, max: 3_600_000 }), { minLength: 0, maxLength: 8 });
const random = fc.double({ min: 0, max: 0.999_999, noNaN: true });
const has = (outcomes: readonly Outcome[], ...kinds: Outcome['kind'][]) =>
  outcomes.some(({ kind }) => kinds.includes(kind));

/** The rule, in words: sent before unknown before what may work later before what never will. */
function expected(outcomes: readonly Outcome[], tries: number, delays: readonly number[]) {
  if (has(outcomes, 'sent')) return { to: 'sent' };
  if (has(outcomes, 'unknown')) return { to: 'ambiguous' };
  if (has(outcomes, 'transient', 'down', 'config'))
    return tries > delays.length ? { to: 'step', otherwise: 'dead' } : { to: 'retry', counted: true };
  if (has(outcomes, 'throttled')) return { to: 'retry', counted: false };
  return { to: 'step', otherwise: 'failed' };
}

describe('what follows from the outcomes of the calls', () => {
  it('follows one rule for every mix of outcomes', () => {
    fc.assert(
      fc.property(
        fc.array(outcome, { maxLength: 5 }),
        lane,
        fc.nat(9),
        retryMs,
        random,
        (outcomes, l, used, delays, r) => {
          const tries = used + 1;
          const result = next(outcomes, { lane: l, tries, retryMs: delays, random: r });
          expect(result).toMatchObject(expected(outcomes, tries, delays));
        },
      ),
    );
  });

  it('waits by the schedule, within a fifth of it, and never less than the provider asks for', () => {
    fc.assert(
      fc.property(retryMs, fc.nat(7), random, delay, (delays, index, r, asked) => {
        const base = delays[index];
        if (base === undefined) return;
        const result = next([{ kind: 'transient', reason: 'x', retryAfterMs: asked }], {
          lane: Lane.NORMAL,
          tries: index + 1,
          retryMs: delays,
          random: r,
        });
        if (result.to !== 'retry') throw new Error(`went to ${result.to}`);
        expect(result.afterMs).toBeGreaterThanOrEqual(Math.max(asked, Math.round(base * 0.8)));
        expect(result.afterMs).toBeLessThanOrEqual(Math.max(asked, Math.round(base * 1.2)));
      }),
    );
  });

  it('ends after the last try, whatever the provider does, as long as it does not only ask for patience', () => {
    const answers = fc.infiniteStream(outcome.filter(({ kind }) => kind !== 'throttled'));
    fc.assert(
      fc.property(answers, lane, retryMs, random, (stream, l, delays, r) => {
        let tries = 0;
        for (const answer of stream) {
          tries += 1;
          expect(tries).toBeLessThanOrEqual(delays.length + 1);
          const result = next([answer], { lane: l, tries, retryMs: delays, random: r });
          if (result.to === 'sent' || result.to === 'step') return;
          if (result.to === 'ambiguous' && settle(l, tries, delays) === 'dead') return;
        }
      }),
    );
  });

  it('asks another provider only when this one certainly did not send it and the address is not at fault', () => {
    fc.assert(
      fc.property(outcome, (answer) => {
        const may =
          ['transient', 'throttled', 'down', 'config'].includes(answer.kind) ||
          (answer.kind === 'permanent' && answer.policy === true);
        expect(mayGoElsewhere(answer)).toBe(may);
      }),
    );
  });

  it('sends an OTP again at once, other mail after a while, and leaves a bulk mail to a person', () => {
    const delays = [60_000, 300_000];
    expect(ambiguousWaitMs(Lane.CRITICAL, delays)).toBe(0);
    expect(ambiguousWaitMs(Lane.NORMAL, delays)).toBe(60_000);
    expect(settle(Lane.CRITICAL, 1, delays)).toBe('again');
    expect(settle(Lane.NORMAL, 2, delays)).toBe('again');
    expect(settle(Lane.NORMAL, 3, delays)).toBe('dead');
    expect(settle(Lane.BULK, 1, delays)).toBe('dead');
  });
});
