// What its due time brings back: in-app steps whose time is up, schedules, notifications that the log forgot, expiry.

import type { Presence, Whereabouts } from '../cluster/presence.ts';
import type { Handoff } from '../eventlog/event-log.ts';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { Channel, DeliveryState, type Lane, NotificationState } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Span, Tracing } from '../runtime/tracing.ts';
import { earliestDueMs } from '../storage/claims.ts';
import type { Database } from '../storage/database.ts';
import { type DueRow, type Move, nextStep, postpone, settle, takeDue } from '../storage/deliveries.ts';
import { type DeliveryRow, followingStep } from '../storage/delivery-row.ts';
import { type LoadedNotification, loadNotifications } from '../storage/expansion.ts';
import { awayInMs } from './absence.ts';
import type { Counts } from './counts.ts';
import type { Dispatcher, Shown } from './dispatch.ts';
import { lingerOf } from './policy.ts';
import { type Reach, whom } from './whom.ts';

const S = DeliveryState;

export interface DueRowsOptions extends Reach {
  lane: Lane;
  database: Database;
  handoff: Handoff;
  presence: Presence;
  dispatcher: Dispatcher;
  counts: Counts;
  clock: Clock;
  tracing: Tracing;
}

/** What is to become of a due row. */
export type Verdict =
  | { kind: 'wait'; inMs: number }
  | { kind: 'move'; reason: 'NO_ACK' | 'NOT_READ' | 'OFFLINE' }
  | { kind: 'end'; state: DeliveryState; reason: string };

/** What came of asking the edges about a row, and where the user is said to be after that. */
export interface Asked {
  shown: Shown;
  where: Whereabouts;
  /** An edge that was not asked may hold the user by now. */
  elsewhere: boolean;
}

/** Decides about a due row of a notification that goes on: pure. */
export function judge(
  row: Pick<DueRow, 'steps' | 'step' | 'stepMs'>,
  { shown, where, elsewhere }: Asked,
  lingerMs: number,
  nowMs: number,
): Verdict {
  const step = row.steps[row.step];
  if (!step || !followingStep(row)) return { kind: 'end', state: S.SENT, reason: 'STORED' };
  // Looked at early: the step was just begun, or its record came again.
  if (step.until === 'read')
    return row.stepMs >= step.afterMs
      ? { kind: 'move', reason: 'NOT_READ' }
      : { kind: 'wait', inMs: step.afterMs - row.stepMs };
  switch (shown.outcome) {
    // Only just written: the client has its time from now.
    case TargetOutcome.WRITTEN:
      return { kind: 'wait', inMs: step.afterMs };
    case TargetOutcome.ALREADY:
      return shown.agoMs >= step.afterMs
        ? { kind: 'move', reason: 'NO_ACK' }
        : { kind: 'wait', inMs: step.afterMs - shown.agoMs };
    case TargetOutcome.CATCHING_UP:
      return { kind: 'wait', inMs: Math.max(limits.catchUpMs, step.afterMs) };
    default: {
      // Whoever goes from edge to edge without end is not waited for without end.
      if (elsewhere && row.stepMs < step.afterMs + lingerMs) return { kind: 'wait', inMs: limits.catchUpMs };
      const inMs = awayInMs(where, lingerMs, nowMs, true);
      if (inMs === undefined)
        return row.stepMs >= step.afterMs
          ? { kind: 'move', reason: 'NO_ACK' }
          : { kind: 'wait', inMs: step.afterMs - row.stepMs };
      return inMs > 0 ? { kind: 'wait', inMs } : { kind: 'move', reason: 'OFFLINE' };
    }
  }
}

/** Where the time for a read is up, it does not matter who is here. */
const asksEdges = ({ seq, steps, step, stepMs }: DueRow): boolean =>
  seq !== undefined && (steps[step]?.until !== 'read' || stepMs < steps[step].afterMs);

/** The in-app rows of one lane. Several routers may share them. */
export class DueRows {
  readonly #options: DueRowsOptions;

  constructor(options: DueRowsOptions) {
    this.#options = options;
  }

  /** Milliseconds until the next row is due; undefined when none waits. */
  earliestMs(): Promise<number | undefined> {
    const { database, lane } = this.#options;
    return earliestDueMs(database, { stepChannel: Channel.IN_APP, lane, now: null });
  }

  /** Takes what is due, at most `limits.dueRowsCount`, and moves it on. Returns how many rows it took. */
  async run(): Promise<number> {
    const { database, lane, clock } = this.#options;
    const rows = await takeDue(database, {
      channel: Channel.IN_APP,
      lane,
      count: limits.dueRowsCount,
      leaseMs: limits.dueLeaseMs,
    });
    if (rows.length === 0) return 0;
    const notifications = await loadNotifications(
      database,
      rows.map((row) => row.notificationId),
      clock.now(),
    );
    const verdicts = await this.#judge(rows, notifications);
    await this.#apply(rows, verdicts, notifications);
    return rows.length;
  }

  async #judge(
    rows: readonly DueRow[],
    notifications: ReadonlyMap<string, LoadedNotification>,
  ): Promise<Verdict[]> {
    const { clock } = this.#options;
    const ends = rows.map((row) => endOf(notifications.get(row.notificationId), clock.now()));
    const open = rows.filter((_, index) => !ends[index]);
    const asked = (await this.#ask(open, notifications)).values();
    return rows.map((row, index) => {
      const end = ends[index];
      if (end) return end;
      const lingerMs = lingerOf(notifications.get(row.notificationId)!);
      return judge(row, asked.next().value!, lingerMs, clock.now());
    });
  }

  /** Shows each item again; the edge's answer tells whether and when its user got it. */
  async #ask(
    rows: readonly DueRow[],
    notifications: ReadonlyMap<string, LoadedNotification>,
  ): Promise<Asked[]> {
    const { presence, dispatcher, lane } = this.#options;
    if (rows.length === 0) return [];
    const before = await presence.locate(rows);
    const edges = whom(this.#options);
    const asked = rows.map((row, index) => (asksEdges(row) ? edges(row, before[index]!) : []));
    const shown = await dispatcher.show(
      lane,
      rows.map((row, index) => {
        const notification = notifications.get(row.notificationId)!;
        return {
          notification,
          tenant: row.tenant,
          userId: row.userId,
          seq: row.seq ?? 0,
          edges: asked[index]!,
          traceparent: notification.traceparent,
        };
      }),
    );
    // Who closed between the question and the answer is gone; who vanished may be back, and somewhere else.
    const after = await presence.locate(rows);
    const edgesNow = whom(this.#options);
    return rows.map((row, index) => ({
      shown: shown[index]!,
      where: after[index]!,
      elsewhere: edgesNow(row, after[index]!).some((edge) => !asked[index]!.includes(edge)),
    }));
  }

  async #apply(
    rows: readonly DeliveryRow[],
    verdicts: readonly Verdict[],
    notifications: ReadonlyMap<string, LoadedNotification>,
  ): Promise<void> {
    const { database, handoff, counts } = this.#options;
    const waits: (DeliveryRow & { inMs: number })[] = [];
    const moves: (Move & { row: DeliveryRow })[] = [];
    const ends = new Map<string, { state: DeliveryState; reason: string; rows: DeliveryRow[] }>();
    verdicts.forEach((verdict, index) => {
      const row = rows[index]!;
      const leftMs = (notifications.get(row.notificationId)?.expiresAtMs ?? 0) - this.#options.clock.now();
      if (verdict.kind === 'wait') waits.push({ ...row, inMs: Math.max(0, Math.min(verdict.inMs, leftMs)) });
      else if (verdict.kind === 'move') moves.push({ row, reason: verdict.reason });
      else {
        const { state, reason } = verdict;
        const group = ends.get(`${state}${reason}`) ?? { state, reason, rows: [] };
        group.rows.push(row);
        ends.set(`${state}${reason}`, group);
      }
    });
    await postpone(database, waits);
    for (const { state, reason, rows: ended } of ends.values())
      counts.reached(await settle(database, ended, state, reason));
    const spans = this.#traced(moves, notifications);
    try {
      counts.reached(await nextStep(database, handoff, moves));
    } finally {
      for (const span of spans) span.end();
    }
  }

  /** A span for each sampled flow that goes on to its next step; its context travels with the channel's record. */
  #traced(moves: Move[], notifications: ReadonlyMap<string, LoadedNotification>): Span[] {
    return moves.map((move) => {
      const span = this.#options.tracing.span('next step', {
        parent: notifications.get(move.row.notificationId)?.traceparent,
        attributes: { 'carillon.notification_id': move.row.notificationId, 'carillon.reason': move.reason },
      });
      move.traceparent = span.traceparent;
      return span;
    });
  }
}

/** How a row ends whose notification has ended; undefined while it goes on. */
function endOf(notification: LoadedNotification | undefined, nowMs: number): Verdict | undefined {
  if (!notification) return { kind: 'end', state: S.EXPIRED, reason: 'RETENTION' };
  if (notification.state === NotificationState.CANCELLED)
    return { kind: 'end', state: S.CANCELLED, reason: 'CANCELLED' };
  if (notification.expiresAtMs <= nowMs) return { kind: 'end', state: S.EXPIRED, reason: 'EXPIRED' };
  return undefined;
}
