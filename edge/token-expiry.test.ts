// A stream lives as long as its token: it is told in time, goes on with a new one, and ends without.
import { expect, test } from 'vitest';
import { limits } from '../runtime/limits.ts';
import { settled, testHub } from './hub.fixture.ts';

const TURN_MS = limits.heartbeatMs / limits.heartbeatSlotsCount;

function setUp(ttlMs: number | undefined, spread = 0) {
  const setting = testHub({ ids: { uuid: () => 'u', random: () => spread } });
  const nowMs = setting.clock.now();
  const expiresMs = ttlMs === undefined ? undefined : nowMs + ttlMs;
  const opened = setting.open(undefined, 'ada', { issuedMs: nowMs, expiresMs });
  const pass = async (ms: number) => {
    for (let passedMs = 0; passedMs < ms; passedMs += 5_000) {
      setting.clock.advance(Math.min(5_000, ms - passedMs));
      await settled();
    }
  };
  return { ...setting, ...opened, nowMs, pass };
}

// Wherever on the wheel the stream has its place.
test.each([
  [3_600_000, 60_000, 0],
  [3_600_000, 60_000, 0.5],
  [3_600_000, 60_000, 0.99],
  [180_000, 60_000, 0.3],
  [60_000, 30_000, 0],
  [20_000, 10_000, 0.7],
  [4_000, 2_000, 0.7],
])('a token of %d ms: told %d ms ahead, ended at its time', async (ttlMs, aheadMs, spread) => {
  const { stream, pass, nowMs } = setUp(ttlMs, spread);
  await settled();
  const expiry = { seconds: BigInt((nowMs + ttlMs) / 1_000), nanos: 0 };
  expect(stream.of('hello')).toMatchObject([{ tokenExpiry: expiry }]);
  await pass(ttlMs - aheadMs - 1_000);
  expect(stream.of('reauthenticate')).toEqual([]);
  await pass(1_000 + TURN_MS);
  expect(stream.of('reauthenticate')).toMatchObject([{ tokenExpiry: expiry }]);
  await pass(aheadMs - 2 * TURN_MS);
  expect(stream.over).toBe(false);
  await pass(2 * TURN_MS);
  expect([stream.over, stream.error?.reason]).toEqual([true, 'TOKEN_EXPIRED']);
  expect(stream.of('reauthenticate')).toHaveLength(1);
});

test('a token that does not expire is never spoken of', async () => {
  const { stream, pass } = setUp(undefined);
  await pass(limits.streamAgeMs / 4);
  expect(stream.of('hello')[0]?.tokenExpiry).toBeUndefined();
  expect([stream.over, stream.of('reauthenticate')]).toEqual([false, []]);
});

test('with a new token the stream goes on, and is told ahead of the new end', async () => {
  const { stream, session, hub, pass, nowMs } = setUp(120_000);
  await pass(100_000);
  hub.renew(session, nowMs + 100_000, nowMs + 300_000);
  await pass(130_000);
  expect([stream.over, stream.of('reauthenticate').length]).toEqual([false, 1]);
  await pass(11_000);
  expect(stream.of('reauthenticate')).toHaveLength(2);
  await pass(60_000);
  expect(stream.error?.reason).toBe('TOKEN_EXPIRED');
});

test('with one that never expires it stays, with one that ends sooner it ends sooner', async () => {
  const { stream, session, hub, pass, nowMs } = setUp(120_000);
  hub.renew(session, nowMs, undefined);
  await pass(200_000);
  expect(stream.over).toBe(false);
  hub.renew(session, nowMs, nowMs + 206_000);
  await pass(6_000 + TURN_MS);
  expect(stream.error?.reason).toBe('TOKEN_EXPIRED');
});

test('a token that ran out while the store kept the stream waiting ends it', async () => {
  const setting = testHub();
  setting.model.held = true;
  const nowMs = setting.clock.now();
  const { stream } = setting.open(undefined, 'ada', { issuedMs: nowMs, expiresMs: nowMs + 10_000 });
  setting.clock.advance(10_500);
  await settled();
  expect([stream.error?.reason, stream.frames]).toEqual(['TOKEN_EXPIRED', []]);
});
