// The port to presence: which edges hold a user's streams. A hint, never the truth: the edge's own answer counts.
import type { Activity } from '../gen/carillon/v1/edge_pb.ts';

export interface UserKey {
  tenant: string;
  userId: string;
}

/** Whether the user looks at one of the streams that an edge holds. */
export type Attention = typeof Activity.FOREGROUND | typeof Activity.BACKGROUND;

export interface Whereabouts {
  /** Nodes of the edges that say they hold at least one stream of the user. */
  edges: readonly string[];
  /** At least one of the streams is in the foreground. False when there is none. */
  foreground: boolean;
  /**
   * When the last stream ended without the client closing it, milliseconds since the epoch: it may be back in a
   * second. Undefined when a stream is open, when the client closed, or when it is longer ago than
   * `limits.lingerMaxMs`. Where nothing is known (a restart, a store that was lost), it is the moment since when: what is
   * not known is not an absence.
   */
  vanishedAtMs: number | undefined;
  /**
   * False when the hints were lost or cannot be read: edges that are not named may hold the user all the same, so that
   * they must be asked. True again once every edge whose lease holds has said again whom it has.
   */
  known: boolean;
}

export interface Presence extends AsyncDisposable {
  /** The edge's first stream of this user opened, or the best of its streams' attention changed. */
  enter(user: UserKey, edge: string, attention: Attention): void;
  /** The edge's last stream of this user ended; `closed`: the client ended it on purpose. */
  leave(user: UserKey, edge: string, closed: boolean): void;
  /** In the order of `users`. Answers nobody-is-here rather than failing when the hints are gone. */
  locate(users: readonly UserKey[]): Promise<Whereabouts[]>;
  /** Milliseconds since each edge renewed the lease of what it says; undefined for one whose lease ran out. */
  leaseAgesMs(edges: readonly string[]): Promise<(number | undefined)[]>;
}
