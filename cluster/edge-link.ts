// The port from routers to edges: a function call in one process, a gRPC stream per edge in a cluster.
import type { Changed, Target, TargetResult } from '../gen/carillon/v1/edge_link_pb.ts';

/** What an edge offers to its links (edge/hub.ts). */
export interface EdgePort {
  readonly node: string;
  /** Writes to the user's streams; answers in the order of `targets`. Never throws. */
  deliver(items: readonly Uint8Array[], targets: readonly Target[]): Promise<TargetResult[]>;
  /** The users' inboxes changed elsewhere: replay when behind. */
  changed(users: readonly Changed[]): void;
  /** Registers who is told when an inbox changes through this edge. Returns how to unregister. */
  onChanged(listener: (users: readonly Changed[]) => void): () => void;
}

/** What a router needs of all edges together. */
export interface EdgeLinks extends AsyncDisposable {
  /**
   * Delivers to one edge; in the order of `targets`. An edge that cannot be reached within `limits.linkAnswerMs` answers
   * NO_SESSION for all: the due time of each row then decides.
   */
  deliver(edge: string, items: readonly Uint8Array[], targets: readonly Target[]): Promise<TargetResult[]>;
  /** The edges with a working link. */
  linked(): readonly string[];
}

export type { Changed, Target, TargetResult };
