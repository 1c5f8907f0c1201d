// Every GoAway of an edge leaves through here: at one pace whatever the cause, each client with its own time, and with the way to its edge.
import type { Ownership } from '../cluster/ownership.ts';
import type { UserKey } from '../cluster/presence.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Session } from './session.ts';
import { TokenBucket } from './token-bucket.ts';

export type DepartureReason = 'DRAIN' | 'AGE' | 'MOVED';

/** What stands in one tick of those who tell clients to go. */
export const TICK_MS = 50;

export interface DeparturesOptions {
  node: string;
  ownership: Pick<Ownership, 'owner' | 'member'>;
  clock: Clock;
  ids: Ids;
  metrics: Pick<Metrics, 'edgeGoAwaysTotal'>;
  /** Clients that are asked to reconnect in a second. */
  perSecond: number;
}

export class Departures {
  readonly perSecond: number;
  readonly #options: DeparturesOptions;
  readonly #pace: TokenBucket;

  constructor(options: DeparturesOptions) {
    this.#options = options;
    this.perSecond = options.perSecond;
    const burst = Math.max(1, Math.ceil((options.perSecond * TICK_MS) / 1_000));
    this.#pace = new TokenBucket(options.perSecond, burst, options.clock);
  }

  /** Whether one more may go now; takes its turn. */
  take(): boolean {
    return this.#pace.take();
  }

  /**
   * Where another edge that the user belongs to can be reached; undefined: here is right, or nowhere is better. An edge that is
   * not in its own view, since its lease was lost for a moment, sends nobody on unless it is `leaving`: the edge that it would
   * name may see it there, and send them back. Of edges that see themselves each names one that stands above it in the
   * ring, whatever else they see, so that no client goes in a circle.
   */
  elsewhere(user: UserKey, leaving = false): string | undefined {
    const { node, ownership } = this.#options;
    if (!leaving && !ownership.member(node)) return undefined;
    const owner = ownership.owner(user);
    return owner && owner.node !== node && owner.url !== '' ? owner.url : undefined;
  }

  /** Asks the client to come back, at a moment of its own after `afterMs`: to its edge when it can, else to any. */
  tell(session: Session, reason: DepartureReason, afterMs = 0): void {
    this.#options.metrics.edgeGoAwaysTotal.add(1, { reason });
    const url = session.mayRedirect ? this.elsewhere(session.user, reason === 'DRAIN') : undefined;
    session.goAway(reason, afterMs + this.#options.ids.random() * limits.goAwaySpreadMs, url);
  }
}
