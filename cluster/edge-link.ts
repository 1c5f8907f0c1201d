// The port between routers and edges: a function call in one process, a gRPC stream per pair in a cluster.
import { create } from '@bufbuild/protobuf';
import {
  type Changed,
  type HeldPresence,
  type Signal,
  type SignalOutcome,
  type SignalResult,
  type Target,
  TargetOutcome,
  type TargetResult,
  TargetResultSchema,
} from '../gen/carillon/v1/edge_link_pb.ts';
import type { UserKey } from './presence.ts';

/** A router, as an edge sees it: the way to the other edges. */
export interface RouterPeer {
  /** Inboxes changed through this edge: the other edges that hold the users are told. Never waits, never throws. */
  changed(users: readonly Changed[]): void;
  /**
   * Hands the signal to the edge that its session names. UNREACHABLE when that edge does not answer within
   * `limits.signalMs`. Never rejects.
   */
  signal(signal: Signal): Promise<SignalOutcome>;
  /** This edge has another view now. */
  viewed(hash: string): void;
}

/** What an edge offers to routers (edge/hub.ts). */
export interface EdgePort {
  readonly node: string;
  readonly incarnation: string;
  /** Hash of the view that this edge has. */
  readonly view: string;
  /** Writes to the user's streams; answers in the order of `targets`. Never throws. */
  deliver(items: readonly Uint8Array[], targets: readonly Target[]): Promise<TargetResult[]>;
  /** The users' inboxes changed elsewhere: replay when behind. */
  changed(users: readonly Changed[]): void;
  /** For sessions of this edge, from others; answers in the order of `signals`. */
  signal(signals: readonly Signal[]): SignalResult[];
  /** What is known of the users' streams here; in the order of `users`. */
  held(users: readonly UserKey[]): HeldPresence[];
  /** A router linked itself. Returns how to take the link away. */
  attach(peer: RouterPeer): () => void;
}

/** What a router needs of all edges together. */
export interface EdgeLinks extends AsyncDisposable {
  /**
   * Delivers to one edge; in the order of `targets`. An edge that cannot be reached within `limits.linkAnswerMs` answers
   * NO_SESSION for all: the due time of each row then decides.
   */
  deliver(edge: string, items: readonly Uint8Array[], targets: readonly Target[]): Promise<TargetResult[]>;
  /** What the edge knows of the users' streams; undefined when it cannot be reached. */
  held(edge: string, users: readonly UserKey[]): Promise<HeldPresence[] | undefined>;
  /** The edges with a working link. */
  linked(): readonly string[];
  /** Hash of the view that the edge has said it has; undefined when it has not, or is not linked. */
  viewOf(edge: string): string | undefined;
}

/** The answer of an edge that does not answer. */
export const nobody = (targets: readonly Target[]): TargetResult[] =>
  targets.map(() => create(TargetResultSchema, { outcome: TargetOutcome.NO_SESSION }));

/** The node of the edge that holds a session: its id is `node.incarnation.number`, and a node's name may have dots. */
export function edgeOfSession(sessionId: string): string {
  return sessionId.split('.').slice(0, -2).join('.');
}

export type { Changed, HeldPresence, Signal, SignalOutcome, SignalResult, Target, TargetResult };
