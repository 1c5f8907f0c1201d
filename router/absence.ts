// How long to wait for a user whom no edge holds: until the linger ends for one who vanished, not at all for one who closed.
import type { Whereabouts } from '../cluster/presence.ts';
import { limits } from '../runtime/limits.ts';

/**
 * Milliseconds until a user whom no edge could show an item counts as gone; 0: is gone. `where`: looked up after the edges'
 * answer. While presence still names an edge the answer may be wrong, as of an edge that cannot be reached: that is no
 * clean close, so the linger runs once from now (`seenMs` undefined), and is over when it was said before.
 */
export function awayInMs(where: Whereabouts, nowMs: number, toldBefore: boolean): number {
  if (where.vanishedAtMs !== undefined)
    return Math.min(limits.lingerMs, Math.max(0, where.vanishedAtMs + limits.lingerMs - nowMs));
  if (where.edges.length > 0 && !toldBefore) return limits.lingerMs;
  return 0;
}
