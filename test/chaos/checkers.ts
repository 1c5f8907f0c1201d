// What must hold after the storm: pure judgements of a history.
import { type Expected, expectedOf, unmailed } from './arrivals.ts';
import type { Arrival, History } from './history.ts';
import { type FaultWindow, Windows, windowsOf } from './windows.ts';

export interface Verdict {
  checker: string;
  ok: boolean;
  said: string;
}

/** What is promised. */
export interface Bounds {
  /** Outside fault windows: accepted → acknowledged. */
  usualMs: number;
  /** The share of those that must keep it, 0 to 1. */
  usualShare: number;
  /** From the end of a fault to everything that was accepted before being acknowledged. */
  recoveryMs: number;
  /** From SIGTERM to the end of a process. */
  leaveMs: number;
  /** Streams opened on one edge within a second while all edges are restarted one after the other. */
  reconnectsPerSecond: number;
}

const NAMED = 5;
const some = (of: readonly string[]): string => (of.length === 0 ? '' : `: ${of.slice(0, NAMED).join('; ')}`);

export function doubles<T>(of: readonly T[], key: (one: T) => string): string[] {
  const counts = new Map<string, number>();
  for (const one of of) counts.set(key(one), (counts.get(key(one)) ?? 0) + 1);
  return [...counts].filter(([, count]) => count > 1).map(([text]) => text);
}

export function nothingLost(history: History): Verdict {
  const expected = expectedOf(history);
  const lost = [
    ...expected
      .filter(({ seen }) => !seen)
      .map(({ accepted, device }) => `${accepted.key} ${accepted.notificationId} on device ${device.id}`),
    ...unmailed(history).map(({ key, notificationId }) => `${key} ${notificationId} as mail`),
  ];
  return {
    checker: 'total: everything that was accepted reached every device or mailbox it was for',
    ok: lost.length === 0 && history.accepted.length > 0,
    said: `${history.accepted.length} accepted, ${expected.length} for devices, ${lost.length} lost${some(lost)}`,
  };
}

export function seenOnce(history: History): Verdict {
  const twice = doubles(history.seen, ({ device, notificationId }) => `device ${device} ${notificationId}`);
  return {
    checker: 'unique: no handler saw one twice',
    ok: twice.length === 0,
    said: `${history.seen.length} seen, ${twice.length} twice${some(twice)}`,
  };
}

/** Nobody marks anything in these runs, so that a hole in the sequence is a loss. */
export function inOrder(history: History): Verdict {
  const last = new Map<number, number>();
  const breaks: string[] = [];
  for (const { device, seq } of history.seen) {
    const before = last.get(device);
    if (before !== undefined && seq !== before + 1) breaks.push(`device ${device}: ${before} then ${seq}`);
    last.set(device, seq);
  }
  return {
    checker: 'order: on every device without a gap, over every resume',
    ok: breaks.length === 0,
    said: `${last.size} devices, ${breaks.length} breaks${some(breaks)}`,
  };
}

export function onePerKey(history: History): Verdict {
  const twice = doubles(history.accepted, ({ notificationId }) => notificationId);
  return {
    checker: 'idempotency: one notification per key',
    ok: twice.length === 0,
    said: `${history.refusals.length} calls were refused or cut off and repeated, ${twice.length} ids given twice${some(twice)}`,
  };
}

export function nobodySurprised(history: History, leaveMs: number): Verdict {
  const slow = history.leaves
    .filter(({ code, ms }) => code !== 0 || ms > leaveMs)
    .map(({ what, code, ms }) => `${what}: ${code === null ? 'by force' : `exit ${code}`} after ${ms} ms`);
  const bad = [...history.surprises, ...slow];
  const slowest = Math.max(0, ...history.leaves.map(({ ms }) => ms));
  return {
    checker: `leaving: within ${leaveMs / 1_000} s of SIGTERM, and nobody ends unasked`,
    ok: bad.length === 0,
    said: `${history.leaves.length} left, the slowest in ${(slowest / 1_000).toFixed(1)} s; ${bad.length} bad${some(bad)}`,
  };
}

export const windowsIn = (history: History, recoveryMs: number, nowMs: number): Windows =>
  new Windows(windowsOf(history.faults, recoveryMs, nowMs));

/** Accepted when nothing was broken, nothing broke within `usualMs`, and the device had not hung up by itself. */
export function undisturbed(
  history: History,
  windows: Windows,
  expected: readonly Expected[],
  usualMs: number,
): Expected[] {
  const away = Map.groupBy(history.absences, ({ device }) => device);
  return expected.filter(({ accepted: { calledMs }, device }) => {
    const untilMs = calledMs + usualMs;
    if (windows.touching(calledMs, untilMs)) return false;
    return !away.get(device.id)?.some((one) => one.fromMs <= untilMs && one.untilMs >= calledMs);
  });
}

export function usuallyAtOnce(history: History, windows: Windows, bounds: Bounds): Verdict {
  const concerned = undisturbed(history, windows, expectedOf(history), bounds.usualMs);
  const late = concerned.filter(
    ({ accepted, seen }) => !((seen?.ackedMs ?? Infinity) - accepted.calledMs <= bounds.usualMs),
  );
  const share = concerned.length === 0 ? 0 : 1 - late.length / concerned.length;
  return {
    checker: `in time: ${bounds.usualShare * 100} % acknowledged within ${bounds.usualMs / 1_000} s outside fault windows`,
    ok: share >= bounds.usualShare,
    said: `${concerned.length} messages, ${(share * 100).toFixed(3)} %, ${late.length} late${some(
      late.toSorted((a, b) => tookMs(b) - tookMs(a)).map((one) => courseOf(one, history)),
    )}`,
  };
}

/** From the call to the answered ack. */
const tookMs = ({ accepted, seen }: Expected): number => (seen?.ackedMs ?? Infinity) - accepted.calledMs;

/** Where the time of a message went; to be looked up in the logs. */
function courseOf({ accepted, device, seen }: Expected, { startedMs }: History): string {
  const { notificationId, calledMs, answeredMs } = accepted;
  const since = (atMs: number | undefined) => (atMs === undefined ? 'never' : `${atMs - calledMs} ms`);
  return `${notificationId} called at ${((calledMs - startedMs) / 1_000).toFixed(1)} s, answered after ${since(answeredMs)}, on device ${device.id} (${device.kind}) after ${since(seen?.atMs)}, acknowledged after ${since(seen?.ackedMs)}`;
}

/** Everything, whenever it was accepted; what was accepted outside of windows has as long as a recovery takes. */
export function allAfterHealing(history: History, windows: Windows, bounds: Bounds): Verdict {
  const late = expectedOf(history).flatMap((one) => {
    const { accepted, seen } = one;
    const inside = windows.touching(accepted.calledMs, accepted.answeredMs) !== undefined;
    const dueMs = windows.dueMs(accepted.answeredMs, inside ? bounds.usualMs : bounds.recoveryMs);
    const byMs = (seen?.ackedMs ?? Infinity) - dueMs;
    return byMs > 0 ? [{ ...one, byMs }] : [];
  });
  const worst = late.toSorted((a, b) => b.byMs - a.byMs);
  return {
    checker: `recovery: all acknowledged within ${bounds.recoveryMs / 1_000} s of healing`,
    ok: late.length === 0,
    said: `${late.length} late${some(
      worst.map(
        (one) =>
          `by ${one.byMs} ms, ${courseOf(one, history)}, after ${faultsBefore(windows, one.accepted.answeredMs)}`,
      ),
    )}`,
  };
}

function faultsBefore(windows: Windows, atMs: number): string {
  const window = windows.all.findLast(({ beganMs }) => beganMs <= atMs);
  return window ? window.faults.map(({ what }) => what).join(' + ') : 'no fault';
}

/** How long after the last fault of the window had healed its last message was acknowledged, in milliseconds. */
export function recoveryOf(window: FaultWindow, expected: readonly Expected[]): number {
  let lastMs = window.healedMs;
  for (const { accepted, seen } of expected)
    if (accepted.answeredMs >= window.beganMs && accepted.answeredMs <= window.healedMs)
      lastMs = Math.max(lastMs, seen?.ackedMs ?? Infinity);
  return lastMs - window.healedMs;
}

/** The most that came to one edge within any second of `[fromMs, toMs]`. */
export function busiestSecond(
  arrivals: readonly Pick<Arrival, 'edge' | 'atMs'>[],
  fromMs: number,
  toMs: number,
): { count: number; edge: string } {
  let busiest = { count: 0, edge: '' };
  const within = arrivals.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
  for (const [edge, of] of Map.groupBy(within, (arrival) => arrival.edge)) {
    const times = of.map(({ atMs }) => atMs).toSorted((a, b) => a - b);
    let first = 0;
    for (let last = 0; last < times.length; last++) {
      while (times[last]! - times[first]! >= 1_000) first++;
      if (last - first + 1 > busiest.count) busiest = { count: last - first + 1, edge };
    }
  }
  return busiest;
}

export const ROLLING = 'rolling restart of all edges';

export function pacedRestart(history: History, bounds: Bounds): Verdict {
  const restarts = history.faults.filter(({ what }) => what === ROLLING);
  const busiest = restarts
    .map(({ beganMs, healedMs }) =>
      busiestSecond(history.arrivals, beganMs, (healedMs ?? Infinity) + bounds.recoveryMs),
    )
    .reduce((a, b) => (b.count > a.count ? b : a), { count: 0, edge: '' });
  return {
    checker: `rolling restart: at most ${bounds.reconnectsPerSecond} reconnects a second on any edge`,
    ok: restarts.length === 0 || (busiest.count > 0 && busiest.count <= bounds.reconnectsPerSecond),
    said: `${restarts.length} restarts, at most ${busiest.count} within one second${busiest.edge && `, on ${busiest.edge}`}`,
  };
}

/** Who is online and acknowledges never needs the mail that would come after the app. */
export function noNeedlessMail(history: History, windows: Windows, bounds: Bounds): Verdict {
  const escalating = new Map(
    history.accepted.filter(({ kind }) => kind === 'escalating').map((one) => [one.notificationId, one]),
  );
  const mailed = history.mails.flatMap(({ notificationId }) => escalating.get(notificationId) ?? []);
  const needless = mailed.filter(({ calledMs }) => !windows.touching(calledMs, calledMs + bounds.recoveryMs));
  return {
    checker: 'presence: outside fault windows nobody online was sent the mail that is for the absent',
    ok: needless.length === 0,
    said: `${escalating.size} with mail as the next step, ${mailed.length} mailed around faults, ${needless.length} outside${some(
      needless.map(({ key, userId }) => `${key} to ${userId}`),
    )}`,
  };
}
