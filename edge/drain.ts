// Leaves without a herd: no new streams, then GoAways over some seconds, each client with its own time to come back.
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Admission } from './admission.ts';
import type { Session } from './session.ts';

const TICK_MS = 50;
/** So many in one tick are no herd. */
const TICK_STREAMS = 16;

export interface DrainOptions {
  admission: Admission;
  sessions: () => Session[];
  clock: Clock;
  ids: Ids;
  /** Ends what is left at once. */
  signal?: AbortSignal;
}

/**
 * Ends all streams within `limits.drainSpreadMs + limits.drainAckMs`: each once it has acknowledged all that it was
 * sent, at the latest `limits.drainAckMs` after its GoAway. Clients that leave meanwhile count as coming back.
 */
export async function drain({ admission, sessions, clock, ids, signal }: DrainOptions): Promise<void> {
  admission.close();
  const waiting = sessions();
  const perTick = Math.max(TICK_STREAMS, Math.ceil((waiting.length * TICK_MS) / limits.drainSpreadMs));
  const told = new Map<Session, number>();
  while (!signal?.aborted && (waiting.length > 0 || told.size > 0)) {
    const nowMs = clock.monotonic();
    for (const session of waiting.splice(0, perTick)) {
      if (session.open) {
        session.goAway('DRAIN', ids.random() * limits.drainSpreadMs);
        told.set(session, nowMs);
      } else session.end(new CarillonError('SHUTTING_DOWN'));
    }
    for (const [session, toldMs] of told) {
      if (!session.over && session.acknowledged < session.sentThrough && nowMs - toldMs < limits.drainAckMs)
        continue;
      session.end();
      told.delete(session);
    }
    if (waiting.length > 0 || told.size > 0) await clock.sleep(TICK_MS, signal);
  }
  for (const session of sessions()) session.end(new CarillonError('SHUTTING_DOWN'));
}
