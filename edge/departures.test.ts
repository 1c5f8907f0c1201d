// However many have to go for whatever reason: so many a second, each with the way to its edge when it can go there.
import { expect, test } from 'vitest';
import type { Member } from '../cluster/membership.ts';
import { ManualClock } from '../runtime/clock.manual.ts';
import { limits } from '../runtime/limits.ts';
import { Departures } from './departures.ts';
import { settled, testHub } from './hub.fixture.ts';
import type { Session } from './session.ts';

const member = (node: string, url: string): Member => ({
  role: 'edge',
  node,
  incarnation: 'i',
  address: '',
  url,
  weight: 1,
  zone: '',
});

/** Time that passes at once, as when the process was stopped: of a timer that missed several turns one comes. */
class JumpingClock extends ManualClock {
  jumpedMs = 0;
  override now(): number {
    return super.now() + this.jumpedMs;
  }
  override monotonic(): number {
    return this.now();
  }
}

test('streams that are all old at once leave at the pace, and each of them in the end', async () => {
  const clock = new JumpingClock();
  let drawn = 0;
  const ids = { uuid: () => 'u', random: () => (drawn++ % 50) / 50 };
  let departures: Departures | undefined;
  const onOld = (session: Session) => {
    if (departures?.take()) departures.tell(session, 'AGE');
  };
  const { metrics, open } = testHub({ clock, ids, onOld });
  const own = member('edge-1', 'https://edge-1.test');
  const ownership = { owner: () => own, member: () => own };
  departures = new Departures({ node: 'edge-1', ownership, clock, ids, metrics, perSecond: 10 });
  const streams = Array.from({ length: 300 }, (_, at) => open(undefined, `u${at}`).stream);
  await settled();
  const told = () => streams.filter((stream) => stream.of('goAway').length > 0).length;
  clock.jumpedMs = limits.streamAgeMs;
  const perSecond: number[] = [];
  for (let second = 0; second < 400; second++) {
    const before = told();
    clock.advance(1_000);
    await settled();
    perSecond.push(told() - before);
  }
  expect(Math.max(...perSecond)).toBeLessThanOrEqual(11);
  expect(told()).toBe(300);
  expect(streams[0]!.of('goAway')).toMatchObject([{ reason: 'AGE', edge: '' }]);
  expect(await metrics.expose()).toMatch(/carillon_edge_goaways_total\{reason="AGE"\} 300/);
});

test('elsewhere is where another edge can be reached, and nowhere else', () => {
  const { clock, metrics } = testHub();
  const ids = { uuid: () => 'u', random: () => 0 };
  const own = member('edge-1', 'https://edge-1.test');
  const at = (owner: Member | undefined, { inView = true, leaving = false } = {}) =>
    new Departures({
      node: 'edge-1',
      ownership: { owner: () => owner, member: () => (inView ? own : undefined) },
      clock,
      ids,
      metrics,
      perSecond: 1,
    }).elsewhere({ tenant: 't', userId: 'u' }, leaving);
  expect([
    at(member('edge-2', 'https://edge-2.test')),
    at(member('edge-2', '')),
    at(member('edge-1', 'https://edge-1.test')),
    at(undefined),
  ]).toEqual(['https://edge-2.test', undefined, undefined, undefined]);
  // Not a member: because it leaves, or because its lease was lost for a moment.
  const other = member('edge-2', 'https://edge-2.test');
  const gone = (leaving: boolean) => at(other, { inView: false, leaving });
  expect([gone(true), gone(false)]).toEqual(['https://edge-2.test', undefined]);
});
