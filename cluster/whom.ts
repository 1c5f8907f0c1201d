// Which edges are asked for a user: those that say they hold them; while that is not known, those that may.
import type { Whereabouts } from './presence.ts';

/**
 * The edges to send a user's item to, each once.
 *
 * While the hints hold: those that hold the user, and, while edges differ over the view, both owners (`owners` has more
 * than one then): a stream may have opened at either a moment ago. When the hints are lost: the owners first, then
 * whoever still says to hold the user, then the other linked edges, at most `mostCount` in all.
 */
export function edgesToAsk(
  { edges, known }: Pick<Whereabouts, 'edges' | 'known'>,
  owners: readonly string[],
  linked: readonly string[],
  mostCount: number,
): readonly string[] {
  if (!known) return [...new Set([...owners, ...edges, ...linked])].slice(0, mostCount);
  return owners.length > 1 ? [...new Set([...edges, ...owners])] : edges;
}
