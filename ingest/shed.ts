// Says no before the mesh drowns: by what waits for the log, bulk first, critical last; nothing is held in memory instead.
import type { Handoff } from '../eventlog/event-log.ts';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';

const bounds: Readonly<Record<number, { bytes: number; ageMs: number }>> = {
  [Lane.CRITICAL]: { bytes: limits.shedCriticalBytes, ageMs: limits.shedCriticalAgeMs },
  [Lane.NORMAL]: { bytes: limits.shedNormalBytes, ageMs: limits.shedNormalAgeMs },
  [Lane.BULK]: { bytes: limits.shedBulkBytes, ageMs: limits.shedBulkAgeMs },
};

/** Throws OVERLOADED when more waits to be published than this lane may add to. */
export function shed(handoff: Pick<Handoff, 'backlog'>, lane: Lane): void {
  const { bytes, oldestMs } = handoff.backlog();
  const bound = bounds[lane] ?? bounds[Lane.NORMAL];
  if (bound && (bytes > bound.bytes || oldestMs > bound.ageMs))
    throw new CarillonError('OVERLOADED', undefined, { retryAfterMs: limits.shedRetryMs });
}
