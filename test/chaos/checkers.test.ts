// The checkers bite: histories with one thing wrong in each, and the checker that must say so.
import { describe, expect, test } from 'vitest';
import { allArrived, expectedOf } from './arrivals.ts';
import {
  allAfterHealing,
  type Bounds,
  busiestSecond,
  inOrder,
  nobodySurprised,
  noNeedlessMail,
  nothingLost,
  onePerKey,
  pacedRestart,
  ROLLING,
  recoveryOf,
  seenOnce,
  usuallyAtOnce,
  windowsIn,
} from './checkers.ts';
import { type Accepted, type Device, History, type Kind } from './history.ts';

const bounds: Bounds = {
  usualMs: 1_000,
  usualShare: 0.999,
  recoveryMs: 10_000,
  leaveMs: 30_000,
  reconnectsPerSecond: 100,
};

const ada: Device = { id: 0, userId: 'ada', kind: 'sdk', edges: [0] };
const adasPhone: Device = { id: 1, userId: 'ada', kind: 'stock', edges: [0] };

function accepted(number: number, calledMs: number, userId = 'ada', kind: Kind = 'in_app'): Accepted {
  return {
    key: `k${number}`,
    kind,
    userId,
    notificationId: `n${number}`,
    calledMs,
    answeredMs: calledMs + 5,
  };
}

/** Ada is online, and was sent `count` notifications, one a second from second 1 on; each was there after 20 ms. */
function sound(count = 3): History {
  const history = new History();
  history.devices.push(ada);
  for (let number = 1; number <= count; number++) {
    const atMs = number * 1_000;
    history.accepted.push(accepted(number, atMs));
    history.see(ada.id, `n${number}`, number, atMs + 20);
    history.acknowledge(ada.id, number, atMs + 30);
  }
  return history;
}

const windows = (history: History) => windowsIn(history, bounds.recoveryMs, 1_000_000);

function verdicts(history: History) {
  return {
    lost: nothingLost(history).ok,
    twice: seenOnce(history).ok,
    order: inOrder(history).ok,
    usual: usuallyAtOnce(history, windows(history), bounds).ok,
    healed: allAfterHealing(history, windows(history), bounds).ok,
    paced: pacedRestart(history, bounds).ok,
    mail: noNeedlessMail(history, windows(history), bounds).ok,
    keys: onePerKey(history).ok,
    left: nobodySurprised(history, bounds.leaveMs).ok,
  };
}

const good = {
  lost: true,
  twice: true,
  order: true,
  usual: true,
  healed: true,
  paced: true,
  mail: true,
  keys: true,
  left: true,
};

test('a sound history passes', () => {
  const history = sound();
  expect(verdicts(history)).toEqual(good);
  expect(allArrived(history)).toBe(true);
});

test('a history of nothing passes no check of what must have been', () => {
  const history = new History();
  expect(nothingLost(history).ok).toBe(false);
  expect(usuallyAtOnce(history, windows(history), bounds).ok).toBe(false);
});

describe('what is planted is found', () => {
  test('lost', () => {
    const history = sound();
    history.accepted.push(accepted(4, 4_000));
    expect(verdicts(history)).toEqual({ ...good, lost: false, usual: false, healed: false });
    expect(nothingLost(history).said).toContain('n4');
    expect(allArrived(history)).toBe(false);
  });

  test('lost on one of two devices', () => {
    const history = sound(1);
    history.devices.push(adasPhone);
    expect(verdicts(history)).toEqual({ ...good, lost: false, usual: false, healed: false });
  });

  test('a mail that was not sent', () => {
    const history = sound();
    history.accepted.push(accepted(4, 4_000, 'grace', 'email'));
    expect(verdicts(history)).toEqual({ ...good, lost: false });
    history.mails.push({ notificationId: 'n4', attemptId: 'a', to: 'grace' });
    expect(verdicts(history)).toEqual(good);
  });

  test('seen twice', () => {
    const history = sound();
    history.see(ada.id, 'n3', 4, 3_500);
    expect(verdicts(history)).toEqual({ ...good, twice: false });
  });

  test('out of order', () => {
    const history = sound(1);
    history.accepted.push(accepted(2, 2_000), accepted(3, 3_000));
    for (const number of [3, 2]) {
      history.see(ada.id, `n${number}`, number, 3_100);
      history.acknowledge(ada.id, number, 3_110);
    }
    expect(verdicts(history)).toMatchObject({ order: false, lost: true, twice: true });
  });

  test('a hole over a resume', () => {
    const history = sound(2);
    history.accepted.push(accepted(9, 9_000));
    history.see(ada.id, 'n9', 9, 9_020);
    history.acknowledge(ada.id, 9, 9_030);
    expect(verdicts(history)).toEqual({ ...good, order: false });
  });

  test('one key, one id, but two answers', () => {
    const history = sound();
    history.accepted.push({ ...accepted(4, 4_000), notificationId: 'n3' });
    expect(verdicts(history).keys).toBe(false);
  });

  test('a process that left too slowly, by force, or unasked', () => {
    for (const ending of [
      { code: 0, ms: 30_001 },
      { code: null, ms: 45_000 },
      { code: 1, ms: 100 },
    ]) {
      const history = sound();
      history.leaves.push({ what: 'edge', ...ending });
      expect(verdicts(history)).toEqual({ ...good, left: false });
    }
    const history = sound();
    history.surprises.push('router ended by itself');
    expect(verdicts(history)).toEqual({ ...good, left: false });
    history.surprises.length = 0;
    history.leaves.push({ what: 'edge', code: 0, ms: 29_000 });
    expect(verdicts(history)).toEqual(good);
  });
});

describe('in time', () => {
  /** 2,000 messages, of which these were acknowledged only after 1.1 s. */
  function withLate(count: number): History {
    const history = new History();
    history.devices.push(ada);
    for (let number = 1; number <= 2_000; number++) {
      history.accepted.push(accepted(number, number * 10));
      history.see(ada.id, `n${number}`, number, number * 10 + 5);
      history.acknowledge(ada.id, number, number * 10 + (number <= count ? 1_100 : 20));
    }
    return history;
  }

  test('one in a thousand may be late, and no more', () => {
    expect(usuallyAtOnce(withLate(2), windows(new History()), bounds).ok).toBe(true);
    expect(usuallyAtOnce(withLate(3), windows(new History()), bounds).ok).toBe(false);
  });

  test('seen in time and never acknowledged is late', () => {
    const history = sound();
    history.accepted.push(accepted(4, 4_000));
    history.see(ada.id, 'n4', 4, 4_020);
    expect(verdicts(history)).toEqual({ ...good, usual: false, healed: false });
  });

  test('what was called within a fault window, or a second before one, is not judged by the second', () => {
    for (const [beganMs, healedMs] of [
      [3_500, 3_600],
      [4_900, 5_000],
      [0, 100],
    ] as const) {
      const history = sound();
      history.accepted.push(accepted(4, 4_000));
      history.see(ada.id, 'n4', 4, 7_000);
      history.acknowledge(ada.id, 4, 7_000);
      expect(usuallyAtOnce(history, windows(history), bounds).ok).toBe(false);
      history.faults.push({ what: 'kill', beganMs, healedMs });
      history.accepted.push(accepted(5, 50_000));
      history.see(ada.id, 'n5', 5, 50_100);
      history.acknowledge(ada.id, 5, 50_100);
      expect(usuallyAtOnce(history, windows(history), bounds).ok).toBe(true);
    }
  });

  test('a device that had hung up by itself is not judged by the second, but must have it all the same', () => {
    const history = sound();
    history.accepted.push(accepted(4, 4_000));
    history.absences.push({ device: ada.id, fromMs: 3_900, untilMs: 5_900 });
    history.see(ada.id, 'n4', 4, 6_000);
    history.acknowledge(ada.id, 4, 6_000);
    expect(verdicts(history)).toEqual(good);
  });
});

describe('recovery', () => {
  function healedAt(healedMs: number, ackedMs: number): History {
    const history = sound();
    history.faults.push({ what: 'kill', beganMs: 3_500, healedMs });
    history.accepted.push(accepted(4, 4_000));
    history.see(ada.id, 'n4', 4, ackedMs);
    history.acknowledge(ada.id, 4, ackedMs);
    return history;
  }

  test('ten seconds after healing all must be acknowledged', () => {
    expect(verdicts(healedAt(20_000, 29_900))).toEqual(good);
    const late = healedAt(20_000, 30_100);
    expect(verdicts(late)).toEqual({ ...good, healed: false });
    expect(allAfterHealing(late, windows(late), bounds).said).toContain('kill');
  });

  test('the next fault gives another ten seconds only when it comes before the first are over', () => {
    const history = healedAt(20_000, 40_000);
    history.faults.push({ what: 'freeze', beganMs: 29_000, healedMs: 35_000 });
    expect(verdicts(history)).toEqual(good);
    history.faults.splice(-1, 1, { what: 'freeze', beganMs: 31_000, healedMs: 35_000 });
    expect(verdicts(history).healed).toBe(false);
  });

  test('what was accepted outside of windows has as long as a recovery takes', () => {
    const history = sound(1_999);
    history.accepted.push(accepted(2_000, 2_000_000));
    history.see(ada.id, 'n2000', 2_000, 2_011_000);
    history.acknowledge(ada.id, 2_000, 2_011_000);
    expect(verdicts(history)).toEqual({ ...good, healed: false });
  });

  test('how long a window took is told', () => {
    const history = healedAt(20_000, 24_000);
    expect(recoveryOf(windows(history).all[0]!, expectedOf(history))).toBe(4_000);
  });
});

describe('a rolling restart', () => {
  function arriving(perSecond: number): History {
    const history = sound();
    history.faults.push({ what: ROLLING, beganMs: 100_000, healedMs: 110_000 });
    for (let number = 0; number < perSecond; number++)
      history.arrivals.push({
        device: number,
        edge: 'one',
        atMs: 105_000 + (number * 999) / perSecond,
        answeredMs: 106_000,
      });
    return history;
  }

  test('is refused when one edge got more reconnects in a second than it is configured for', () => {
    expect(pacedRestart(arriving(100), bounds).ok).toBe(true);
    expect(pacedRestart(arriving(101), bounds).ok).toBe(false);
  });

  test('that nobody came back from shows nothing', () => {
    expect(pacedRestart(arriving(0), bounds).ok).toBe(false);
  });

  test('counts edges by themselves, over any second', () => {
    const arrivals = [0, 400, 999, 1_000, 1_400].map((atMs) => ({ edge: 'one', atMs }));
    expect(busiestSecond(arrivals, 0, 2_000)).toEqual({ count: 3, edge: 'one' });
    expect(busiestSecond([...arrivals, { edge: 'two', atMs: 500 }], 0, 2_000).count).toBe(3);
    expect(busiestSecond(arrivals, 0, 500).count).toBe(2);
  });
});

test('mail to somebody who was there is needless, unless something was broken', () => {
  const history = sound();
  history.accepted.push(accepted(4, 4_000, 'ada', 'escalating'));
  history.see(ada.id, 'n4', 4, 4_020);
  history.acknowledge(ada.id, 4, 4_030);
  expect(verdicts(history)).toEqual(good);
  history.mails.push({ notificationId: 'n4', attemptId: 'a', to: 'ada' });
  expect(verdicts(history)).toEqual({ ...good, mail: false });
  history.faults.push({ what: 'kill', beganMs: 5_000, healedMs: 5_100 });
  history.accepted.push(accepted(5, 500_000));
  history.see(ada.id, 'n5', 5, 500_010);
  history.acknowledge(ada.id, 5, 500_020);
  expect(noNeedlessMail(history, windows(history), bounds).ok).toBe(true);
});
