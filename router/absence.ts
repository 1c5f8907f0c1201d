// How long to wait for a user whom no edge holds: until the linger ends for one who vanished, not at all for one who closed.
import type { Whereabouts } from '../cluster/presence.ts';

/**
 * Milliseconds until a user whom no edge could show an item counts as gone; 0: is gone; undefined: nobody knows, and only the
 * ack deadline decides. `where`: looked up after the edges' answer. While presence still names an edge the answer may be
 * wrong, as of an edge that cannot be reached or was just started: that is no clean close, so the linger runs once from now
 * (`toldBefore` false), and is over when it was said before.
 */
export function awayInMs(
  where: Whereabouts,
  lingerMs: number,
  nowMs: number,
  toldBefore: boolean,
): number | undefined {
  if (!where.known) return undefined;
  if (where.vanishedAtMs !== undefined)
    return Math.min(lingerMs, Math.max(0, where.vanishedAtMs + lingerMs - nowMs));
  if (where.edges.length > 0 && !toldBefore) return lingerMs;
  return 0;
}
