// What was revoked ends its streams, and no others, also when the store is away for a while.
import { expect, onTestFinished, test } from 'vitest';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import { silentLog } from '../runtime/log.ts';
import type { Revocation } from '../storage/revocations.ts';
import { settled, testHub } from './hub.fixture.ts';
import { Revocations } from './revocations.ts';

function setUp() {
  const setting = testHub();
  const { hub, clock, open } = setting;
  const store = { away: false, revoked: [] as Revocation[] };
  const revocations = new Revocations({
    hub,
    read: async (position, each) => {
      if (store.away) throw new CarillonError('STORE_UNAVAILABLE');
      for (const one of store.revoked.slice(Number(position))) each(one);
      return String(store.revoked.length);
    },
    from: '0',
    clock,
    tokenNowMs: () => clock.now(),
    log: silentLog,
  });
  onTestFinished(() => revocations[Symbol.asyncDispose]());
  const opened = (userId: string, deviceId = '', issuedMs = clock.now()) =>
    open(undefined, userId, { deviceId, issuedMs, expiresMs: clock.now() + 3_600_000 }).stream;
  const revoke = (userId: string, deviceId = '') =>
    store.revoked.push({ tenant: 'default', userId, deviceId, notBeforeMs: clock.now() });
  const poll = async () => {
    clock.advance(limits.revocationsPollMs);
    await settled();
  };
  return { ...setting, store, opened, revoke, poll };
}

test('of a user end all streams with a token from before, of a device its own', async () => {
  const { opened, revoke, poll, clock } = setUp();
  const all = {
    phone: opened('ada', 'phone'),
    laptop: opened('ada', 'laptop'),
    bobPhone: opened('bob', 'phone'),
    bobLaptop: opened('bob', 'laptop'),
    cleo: opened('cleo'),
  };
  await settled();
  clock.advance(1);
  const later = opened('ada', 'phone', clock.now() + 1_000);
  revoke('ada');
  revoke('bob', 'phone');
  await poll();
  expect(Object.entries(all).map(([name, { error }]) => [name, error?.reason])).toEqual([
    ['phone', 'TOKEN_REVOKED'],
    ['laptop', 'TOKEN_REVOKED'],
    ['bobPhone', 'TOKEN_REVOKED'],
    ['bobLaptop', undefined],
    ['cleo', undefined],
  ]);
  expect(later.over).toBe(false);
});

test('are found when the store is back', async () => {
  const { opened, revoke, poll, store } = setUp();
  const stream = opened('ada');
  store.away = true;
  revoke('ada');
  for (let count = 0; count < 20; count++) await poll();
  expect(stream.over).toBe(false);
  store.away = false;
  await poll();
  expect(stream.error?.reason).toBe('TOKEN_REVOKED');
});

test('also end a stream that slipped in behind them, before who judges tokens had heard', async () => {
  const { opened, revoke, poll, clock } = setUp();
  const issuedMs = clock.now();
  revoke('ada');
  await poll();
  const late = opened('ada', '', issuedMs);
  await settled();
  expect(late.over).toBe(false);
  await poll();
  expect(late.error?.reason).toBe('TOKEN_REVOKED');
});

test('end such a stream as well when they were read late', async () => {
  const { opened, revoke, poll, clock, store } = setUp();
  const issuedMs = clock.now();
  await poll();
  store.away = true;
  revoke('ada');
  clock.advance(limits.revocationsHeldMs);
  await poll();
  store.away = false;
  await poll();
  const late = opened('ada', '', issuedMs);
  await settled();
  await poll();
  expect(late.error?.reason).toBe('TOKEN_REVOKED');
});
