// The store is away for a minute while a thousand streams are open, and the loop stands still for seconds: streams stay, nothing is lost.
import { expect, test } from 'vitest';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { send, settled, testHub } from './hub.fixture.ts';

test('a minute without the store: a thousand streams stay, beat, and catch up by themselves', async () => {
  let drawn = 0;
  const setting = testHub({ ids: { uuid: () => 'u', random: () => (drawn++ % 100) / 100 } });
  const { hub, model, clock, open } = setting;
  const streams = Array.from({ length: 1_000 }, (_, at) => open(undefined, `u${at}`).stream);
  await settled();
  model.away = true;
  for (let count = 0; count < 3; count++) model.add();
  for (let second = 0; second < 60; second++) {
    clock.advance(1_000);
    await settled();
  }
  expect(hub.streams).toBe(1_000);
  for (const stream of streams) {
    expect(stream.of('deliver')).toEqual([]);
    const beats = stream.of('watermark').length;
    // At least one per heartbeat; the retries of every second send none.
    expect(beats).toBeGreaterThanOrEqual(2);
    expect(beats).toBeLessThanOrEqual(3);
  }
  // A position that is live now is past a hole, which only the store can fill.
  await send(setting, { userId: 'u7' });
  await settled();
  expect(streams[7]!.of('deliver')).toEqual([]);
  model.away = false;
  clock.advance(limits.replayRetryMs);
  await settled();
  for (const stream of streams) expect(stream.of('deliver').map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
});

/** Its timers are late by what `stall` says, as when the loop was blocked: of a timer that missed several turns one comes. */
class StallingClock extends ManualClock {
  #stalledMs = 0;
  override now(): number {
    return super.now() + this.#stalledMs;
  }
  override monotonic(): number {
    return this.now();
  }
  stall(ms: number): void {
    this.#stalledMs += ms;
  }
}

test('a loop that was blocked for five seconds leaves no stream without its heartbeat', async () => {
  const clock = new StallingClock();
  const { open } = testHub({ clock, ids: { uuid: () => 'u', random: () => 0.99 } });
  const { stream } = open();
  await settled();
  clock.advance(limits.heartbeatMs / 2);
  clock.stall(5_000);
  clock.advance(limits.heartbeatMs / 2 - 5_000);
  await settled();
  expect(stream.of('watermark')).toHaveLength(1);
});
