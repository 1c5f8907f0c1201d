// The port to presence: which edges hold a user's streams. A hint, never the truth: the edge's own answer counts.

export interface UserKey {
  tenant: string;
  userId: string;
}

export interface Whereabouts {
  /** Nodes of the edges that say they hold at least one stream of the user. */
  edges: readonly string[];
  /**
   * When the last stream ended without the client closing it, milliseconds since the epoch: it may be back in a
   * second. Undefined when a stream is open, when the client closed, or when it is longer ago than the linger. Where
   * nothing is known (a restart, a store that was lost), it is the moment since when: what is not known is not an absence.
   */
  vanishedAtMs: number | undefined;
}

export interface Presence extends AsyncDisposable {
  /** The edge's first stream of this user opened. */
  enter(user: UserKey, edge: string): void;
  /** The edge's last stream of this user ended; `closed`: the client ended it on purpose. */
  leave(user: UserKey, edge: string, closed: boolean): void;
  /** In the order of `users`. Answers nobody-is-here rather than failing when the hints are gone. */
  locate(users: readonly UserKey[]): Promise<Whereabouts[]>;
}
