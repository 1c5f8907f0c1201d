// A failing provider is left alone, then tried by one call, by the mesh's clock alone.
import { describe, expect, it } from 'vitest';
import { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { Breaker } from './breaker.ts';
import type { Outcome } from './provider.ts';

const down: Outcome = { kind: 'down', reason: 'no answer' };
const sent: Outcome = { kind: 'sent', messageId: 'm' };

function setUp() {
  const clock = new ManualClock();
  const states: BreakerState[] = [];
  const breaker = new Breaker({
    clock,
    failures: 3,
    openMs: 10_000,
    onChange: (state) => states.push(state),
  });
  const call = async (outcome: Outcome) => {
    const permit = breaker.admit();
    if (!permit) throw new Error('not admitted');
    return permit.run(async () => outcome);
  };
  const fail = async () => {
    for (let n = 0; n < 3; n++) await call(down);
  };
  return { clock, states, breaker, call, fail };
}

describe('a breaker', () => {
  it('opens after failures in a row, and not after as many with a success between', async () => {
    const { breaker, call } = setUp();
    await call(down);
    await call(down);
    await call(sent);
    await call(down);
    await call(down);
    expect(breaker.state).toBe(BreakerState.CLOSED);
    await call(down);
    expect(breaker.state).toBe(BreakerState.OPEN);
    expect(breaker.admit()).toBeUndefined();
    expect(breaker.waitMs()).toBe(10_000);
  });

  it('lets one call try after its time, and closes when that call works', async () => {
    const { clock, states, breaker, fail } = setUp();
    await fail();
    clock.advance(9_999);
    expect(breaker.admit()).toBeUndefined();
    clock.advance(1);
    const probe = breaker.admit();
    expect(probe).toBeDefined();
    expect(breaker.admit()).toBeUndefined();
    const answer = Promise.withResolvers<Outcome>();
    const probing = probe!.run(() => answer.promise);
    expect(breaker.state).toBe(BreakerState.HALF_OPEN);
    expect(breaker.admit()).toBeUndefined();
    answer.resolve(sent);
    await probing;
    expect(states).toEqual([BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]);
    expect(breaker.admit()).toBeDefined();
  });

  it('opens for the whole time again when the trying call fails', async () => {
    const { clock, breaker, call, fail } = setUp();
    await fail();
    clock.advance(10_000);
    await call(down);
    expect(breaker.state).toBe(BreakerState.OPEN);
    clock.advance(9_999);
    expect(breaker.admit()).toBeUndefined();
    clock.advance(1);
    await call(sent);
    expect(breaker.state).toBe(BreakerState.CLOSED);
  });

  it('gives the trying call to another when the first one was not made', async () => {
    const { clock, breaker, fail } = setUp();
    await fail();
    clock.advance(10_000);
    breaker.admit()!.release();
    const second = breaker.admit();
    expect(second).toBeDefined();
    second!.release();
    second!.release();
  });

  it('does not mind messages that are refused or deferred, or a provider that is busy', async () => {
    const { breaker, call } = setUp();
    for (let n = 0; n < 5; n++) {
      await call({ kind: 'permanent', reason: 'no such user', address: 'invalid' });
      await call({ kind: 'transient', reason: 'greylisted' });
      await call({ kind: 'throttled', retryAfterMs: 1 });
    }
    expect(breaker.state).toBe(BreakerState.CLOSED);
    for (let n = 0; n < 3; n++) await call({ kind: 'permanent', reason: 'blocked', policy: true });
    expect(breaker.state).toBe(BreakerState.OPEN);
  });

  it('pauses for as long as the provider asks', () => {
    const { clock, breaker } = setUp();
    breaker.pause(5_000);
    expect(breaker.admit()).toBeUndefined();
    expect(breaker.state).toBe(BreakerState.CLOSED);
    clock.advance(5_000);
    expect(breaker.admit()).toBeDefined();
  });

  it('makes a call that was let in before it opened', async () => {
    const { breaker, fail } = setUp();
    const early = breaker.admit()!;
    await fail();
    expect(await early.run(async () => sent)).toEqual(sent);
    expect(breaker.state).toBe(BreakerState.OPEN);
  });
});

describe('a provider that fails now and then', () => {
  it('is left alone when half of many recent calls failed, though never three in a row', async () => {
    const { clock, breaker, call } = setUp();
    for (let n = 0; n < 9; n++) {
      await call(sent);
      await call(down);
      clock.advance(100);
    }
    expect(breaker.state).toBe(BreakerState.CLOSED);
    await call(sent);
    await call(down);
    expect(breaker.state).toBe(BreakerState.OPEN);
  });

  it('is not when as many failed over a longer time, nor when fewer did', async () => {
    const { clock, breaker, call } = setUp();
    for (let n = 0; n < 30; n++) {
      await call(sent);
      await call(down);
      clock.advance(2_000);
    }
    for (let n = 0; n < 60; n++) {
      for (const outcome of [sent, sent, down]) await call(outcome);
      clock.advance(100);
    }
    expect(breaker.state).toBe(BreakerState.CLOSED);
  });

  it('begins anew once it works again', async () => {
    const { clock, breaker, call } = setUp();
    for (let n = 0; n < 10; n++) for (const outcome of [sent, down]) await call(outcome);
    expect(breaker.state).toBe(BreakerState.OPEN);
    clock.advance(10_000);
    await call(sent);
    await call(down);
    expect(breaker.state).toBe(BreakerState.CLOSED);
  });
});
