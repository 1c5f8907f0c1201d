// A herd, a flood of bad tokens, one address with too many streams: each is sent away with a delay, and the others do not notice.
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import type { CarillonError, ReasonName } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { Admission, type AdmissionBounds, defaultAdmission } from './admission.ts';

function setUp(bounds: Partial<AdmissionBounds> = {}) {
  const clock = new ManualClock();
  let drawn = 0;
  const ids = { uuid: () => 'u', random: () => (drawn++ % 10) / 10 };
  const admission = new Admission({ ...defaultAdmission, ...bounds }, clock, ids);
  const admit = (open: Partial<Parameters<Admission['admit']>[0]> = {}) =>
    admission.admit({ streams: 0, ofUser: 0, address: undefined, resumes: false, ...open });
  return { clock, admission, admit };
}

/** What it throws; every refusal has a delay within the bounds. */
function refusal(act: () => unknown): ReasonName | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    const { reason, retryAfterMs } = error as CarillonError;
    const [least, most] = limits.admissionRetryMs;
    expect(retryAfterMs).toBeGreaterThanOrEqual(least);
    expect(retryAfterMs).toBeLessThanOrEqual(most);
    return reason;
  }
}

/** How many of `count` are let in. */
const letIn = (count: number, act: () => unknown): number =>
  Array.from({ length: count }, () => refusal(act)).filter((reason) => reason === undefined).length;

describe('streams', () => {
  test('that resume and that begin have buckets of their own', () => {
    const { clock, admit } = setUp({
      resumesPerSecond: 10,
      resumesBurstCount: 20,
      beginsPerSecond: 2,
      beginsBurstCount: 3,
    });
    expect(letIn(50, () => admit())).toBe(3);
    expect(letIn(50, () => admit({ resumes: true }))).toBe(20);
    clock.advance(1_000);
    expect([letIn(50, () => admit()), letIn(50, () => admit({ resumes: true }))]).toEqual([2, 10]);
  });

  test('of one address are bounded, and leave room when they end', () => {
    const { admit } = setUp({ perAddressCount: 2 });
    const at = (address: string | undefined) => () => admit({ address });
    const [first] = [admit({ address: 'a' }), admit({ address: 'a' })];
    expect(refusal(at('a'))).toBe('TOO_MANY_STREAMS');
    expect([refusal(at('b')), letIn(100, at(undefined))]).toEqual([undefined, 100]);
    first?.leave();
    expect(letIn(5, at('a'))).toBe(1);
  });

  test('of the process and of a user are bounded', () => {
    const { admission, admit } = setUp({ streamsCount: 7, perUserCount: 3 });
    expect(refusal(() => admit({ ofUser: 3 }))).toBe('TOO_MANY_STREAMS');
    expect(refusal(() => admit({ streams: 7 }))).toBe('TOO_MANY_STREAMS');
    expect(refusal(() => admission.knock(undefined, 7))).toBe('TOO_MANY_STREAMS');
  });

  test('are refused while the edge shuts down', () => {
    const { admission, admit } = setUp();
    admission.close();
    expect([refusal(() => admission.knock('a', 0)), refusal(() => admit())]).toEqual([
      'SHUTTING_DOWN',
      'SHUTTING_DOWN',
    ]);
  });

  test('a refusal draws a delay of its own for each client', () => {
    const { admit } = setUp({ beginsBurstCount: 0 });
    const delays = new Set<number | undefined>();
    for (let count = 0; count < 10; count++)
      try {
        admit();
      } catch (error) {
        delays.add((error as CarillonError).retryAfterMs);
      }
    expect(delays.size).toBe(10);
  });
});

describe('bad tokens', () => {
  const flood = ({ admission }: ReturnType<typeof setUp>, address: string | undefined, count: number) =>
    letIn(count, () => {
      admission.knock(address, 0);
      admission.badToken(address);
    });

  test('of one address are not looked at beyond its bound, and others are listened to', () => {
    const setting = setUp();
    expect(flood(setting, 'a', 10_000)).toBe(limits.badTokensPerAddressBurstCount);
    expect(refusal(() => setting.admission.knock('a', 0))).toBe('TOO_MANY_ATTEMPTS');
    expect(refusal(() => setting.admission.knock('b', 0))).toBeUndefined();
    setting.clock.advance(1_000);
    expect(flood(setting, 'a', 1_000)).toBe(limits.badTokensPerAddressPerSecond);
  });

  test('of very many addresses close the door to those, and not to who has never lied', () => {
    const setting = setUp();
    const addresses = Array.from({ length: 1_000 }, (_, at) => `a${at}`);
    let looked = 0;
    for (let round = 0; round < 10; round++)
      for (const address of addresses) looked += flood(setting, address, 1);
    // The first of each, and then as many as all together may.
    expect(looked).toBeLessThanOrEqual(limits.badTokensBurstCount + addresses.length);
    expect(refusal(() => setting.admission.knock('honest', 0))).toBeUndefined();
    expect(refusal(() => setting.admission.knock(undefined, 0))).toBeUndefined();
  });

  test('are remembered for so many addresses and no more', () => {
    const setting = setUp();
    flood(setting, 'first', 10_000);
    for (let at = 0; at < limits.badTokenAddressesCount; at++) setting.admission.badToken(`b${at}`);
    setting.clock.advance(10_000);
    expect(refusal(() => setting.admission.knock('first', 0))).toBeUndefined();
  });
});
