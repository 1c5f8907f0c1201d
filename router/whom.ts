// Which edges a user's item is sent to, for a whole batch of users at one moment.
import type { EdgeLinks } from '../cluster/edge-link.ts';
import type { Ownership } from '../cluster/ownership.ts';
import type { UserKey, Whereabouts } from '../cluster/presence.ts';
import { edgesToAsk } from '../cluster/whom.ts';
import { limits } from '../runtime/limits.ts';

export interface Reach {
  links: Pick<EdgeLinks, 'linked'>;
  ownership: Pick<Ownership, 'owners'>;
}

export type Whom = (user: UserKey, where: Whereabouts) => readonly string[];

/** By the links and the views as they are now. */
export function whom({ links, ownership }: Reach): Whom {
  const linked = links.linked();
  return (user, where) => edgesToAsk(where, ownership.owners(user), linked, limits.askEdgesCount);
}
