// A handoff that keeps what was written and committed, for tests of those who hand off.
import type { Handoff, LogRecord, Written } from '../../eventlog/event-log.ts';
import type { Queryable } from '../../storage/database.ts';

export class RecordingHandoff implements Handoff {
  /** Records of transactions that were committed, in that order. */
  readonly committed: LogRecord[] = [];
  oldestMs = 0;

  write(_tx: Queryable, records: readonly LogRecord[]): Promise<Written> {
    return Promise.resolve({
      committed: () => {
        this.committed.push(...records);
      },
    });
  }

  backlog(): { bytes: number; oldestMs: number } {
    return { bytes: 0, oldestMs: this.oldestMs };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
