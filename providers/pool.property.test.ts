// Which provider takes an address: by position, by weight, never one that drains or was asked, whatever the pool.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { Member } from './member.ts';
import { email } from './message.fixture.ts';
import { Pool, withSlots } from './pool.ts';
import { FakeProvider } from './worker.fixture.ts';

const address = email();
const none = { lane: Lane.NORMAL, asked: new Set<string>(), last: new Set<string>() };

interface Spec {
  position: number;
  weight: number;
  draining: boolean;
  /** Its breaker is open. */
  down: boolean;
}

const spec = fc.record({
  position: fc.integer({ min: 0, max: 3 }),
  weight: fc.integer({ min: 1, max: 100 }),
  draining: fc.boolean(),
  down: fc.boolean(),
});

async function poolOf(specs: readonly Spec[], random: () => number) {
  const clock = new ManualClock();
  const members = specs.map(
    ({ down: _, ...place }, index) =>
      new Member({
        provider: new FakeProvider(`p${index}`),
        place,
        clock,
        onBreaker: () => {},
        breaker: { failures: 1, openMs: 10_000 },
      }),
  );
  for (const [index, { down }] of specs.entries()) {
    if (!down) continue;
    const permit = members[index]!.admit(Lane.NORMAL, 'clear')!;
    await permit.run(async () => ({ kind: 'down', reason: 'no answer' }));
  }
  return { clock, members, pool: new Pool(members, random) };
}

describe('a pool', () => {
  it('takes the lowest position that is ready, and none that drains, is down or was asked', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(spec, { minLength: 1, maxLength: 6 }),
        fc.nat(63),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        async (specs, askedBits, random) => {
          const { pool, members } = await poolOf(specs, () => random);
          const asked = new Set(specs.map((_, n) => `p${n}`).filter((_, n) => askedBits & (1 << n)));
          const able = specs.filter((_, n) => !asked.has(`p${n}`));
          const ready = able.filter(({ draining, down }) => !draining && !down);
          const choice = pool.choose(address, { ...none, asked });
          if (ready.length === 0) {
            const waits = choice !== undefined && 'waitMs' in choice && choice.waitMs > 0;
            expect(waits ? 'waits' : choice).toBe(able.length > 0 ? 'waits' : undefined);
            return;
          }
          const { member } = choice as { member: Member };
          const at = members.indexOf(member);
          expect(ready).toContain(specs[at]);
          expect(asked.has(member.provider.name)).toBe(false);
          expect(member.place.position).toBe(Math.min(...ready.map(({ position }) => position)));
        },
      ),
    );
  });

  it('shares traffic exactly by weight, over all that chance can say', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 }),
        async (weights) => {
          const sum = weights.reduce((all, weight) => all + weight, 0);
          let turn = 0;
          const { pool } = await poolOf(
            weights.map((weight) => ({ position: 0, weight, draining: false, down: false })),
            () => (turn++ + 0.5) / sum,
          );
          const counts = weights.map(() => 0);
          for (let n = 0; n < sum; n++) {
            const { member } = pool.choose(address, none) as { member: Member };
            counts[Number(member.provider.name.slice(1))]! += 1;
          }
          expect(counts).toEqual(weights);
        },
      ),
    );
  });

  it('comes back to one that may have sent it only when there is no other', async () => {
    const open = { weight: 1, draining: false, down: false };
    const { pool, members } = await poolOf(
      [
        { ...open, position: 0 },
        { ...open, position: 1 },
      ],
      () => 0,
    );
    expect(pool.choose(address, { ...none, last: new Set(['p0']) })).toEqual({ member: members[1] });
    expect(pool.choose(address, { ...none, last: new Set(['p0', 'p1']) })).toEqual({ member: members[0] });
  });

  it('holds what only providers that drain could take', async () => {
    const { pool, members } = await poolOf(
      [{ position: 0, weight: 1, draining: true, down: false }],
      () => 0,
    );
    expect(pool.choose(address, none)).toEqual({ waitMs: limits.providerPausedMs });
    members[0]!.place = { position: 0, weight: 1, draining: false };
    expect(pool.choose(address, none)).toEqual({ member: members[0] });
  });
});

describe('a provider that may be tried again', () => {
  const down: Spec = { position: 0, weight: 1, draining: false, down: true };
  const other: Spec = { position: 1, weight: 1, draining: false, down: false };

  it('is tried by the bulk lane first when there is bulk, and by others when bulk does not come', async () => {
    const { clock, pool, members } = await poolOf([down, other], () => 0);
    const by = (lane: Lane) => (pool.choose(address, { ...none, lane }) as { member: Member }).member;
    expect(by(Lane.BULK)).toBe(members[1]);
    clock.advance(10_000);
    expect(by(Lane.CRITICAL)).toBe(members[1]);
    expect(members[0]!.admit(Lane.CRITICAL)).toBeUndefined();
    expect(by(Lane.BULK)).toBe(members[0]);
    clock.advance(limits.breakerBulkFirstMs);
    expect(by(Lane.CRITICAL)).toBe(members[0]);
  });

  it('is tried by whoever comes when there is no bulk', async () => {
    const { clock, pool, members } = await poolOf([down, other], () => 0);
    clock.advance(10_000);
    expect(pool.choose(address, { ...none, lane: Lane.CRITICAL })).toEqual({ member: members[0] });
  });
});

describe('a provider whose lane is full', () => {
  const open: Spec = { position: 0, weight: 1, draining: false, down: false };
  const signal = new AbortController().signal;

  it('is passed by for what is urgent, and not by bulk, while it may make few calls a second', async () => {
    const { clock, pool, members } = await poolOf([open, { ...open, position: 1 }], () => 0);
    const by = (lane: Lane) => (pool.choose(address, { ...none, lane }) as { member: Member }).member;
    const slow = members[0]!;
    for (let n = 0; n < 8; n++) slow.rate.take('normal');
    slow.rate.throttled();
    for (const lane of [Lane.CRITICAL, Lane.NORMAL, Lane.BULK]) expect(by(lane)).toBe(slow);
    const waiting = [Lane.CRITICAL, Lane.BULK].flatMap((lane) =>
      Array.from({ length: 4 }, () => slow.turn(lane, signal)),
    );
    expect(by(Lane.CRITICAL)).toBe(members[1]);
    expect(by(Lane.NORMAL)).toBe(slow);
    expect(by(Lane.BULK)).toBe(slow);
    for (let ms = 0; ms < limits.providerTurnMs; ms += 50) {
      clock.advance(50);
      await Promise.resolve();
    }
    await Promise.all(waiting);
    expect(by(Lane.CRITICAL)).toBe(slow);
  });

  it('is passed by for what is urgent while its calls take long', async () => {
    const { clock, pool, members } = await poolOf([open, { ...open, position: 1 }], () => 0);
    const by = (lane: Lane) => (pool.choose(address, { ...none, lane }) as { member: Member }).member;
    const slow = members[0]!;
    for (let n = 0; n < 10; n++)
      await slow.admit(Lane.CRITICAL)!.run(async () => {
        clock.advance(4_000);
        return { kind: 'sent', messageId: 'm' };
      });
    expect(by(Lane.CRITICAL)).toBe(slow);
    const end = Promise.withResolvers<void>();
    const calls = Array.from({ length: limits.providerCallsCount.critical + 4 }, () =>
      withSlots([slow], Lane.CRITICAL, () => end.promise),
    );
    await Promise.resolve();
    expect(by(Lane.CRITICAL)).toBe(members[1]);
    expect(by(Lane.NORMAL)).toBe(slow);
    end.resolve();
    await Promise.all(calls);
    expect(by(Lane.CRITICAL)).toBe(slow);
  });
});
