// Notifications whose time has come: a schedule begins, one that the log forgot is put on it again, one that is late expires.
import type { Handoff } from '../eventlog/event-log.ts';
import { limits } from '../runtime/limits.ts';
import type { Database } from '../storage/database.ts';
import { earliestNotificationMs, wakeNotifications } from '../storage/expansion.ts';
import type { DueTask } from './due-loop.ts';
import { rawRecord } from './records.ts';

export function dueNotifications(database: Database, handoff: Handoff): DueTask {
  return {
    earliestMs: () => earliestNotificationMs(database),
    async run() {
      const { woken, expired } = await wakeNotifications(database, handoff, rawRecord, {
        count: limits.dueRowsCount,
        reconcileMs: limits.reconcileMs,
        reconcileMaxMs: limits.reconcileMaxMs,
      });
      return woken + expired;
    },
  };
}
