// The port to membership: which processes make up the mesh. Each says so itself, under a lease; all see the same numbered view.

type MemberRole = 'edge' | 'router';

export interface Member {
  role: MemberRole;
  node: string;
  /** New at every start of the process, and rising: what an older one said no longer holds. */
  incarnation: string;
  /** `host:port`. Of an edge: where routers open their link; of a router: where RouterService is. */
  address: string;
  /** Of an edge: where clients reach it by itself; empty: only by the address that all edges share. */
  url: string;
  /** Share of the users relative to the others, 1 to `limits.ringWeightMax`. */
  weight: number;
  /** Where it runs, such as a data centre; empty when nobody said. */
  zone: string;
}

export interface View {
  /** Rises with every change; the same for every process that shares a store. */
  readonly number: bigint;
  /** Of the edges' names and weights: where it is the same, the ring is the same (docs/ring.md). */
  readonly hash: string;
  /** In the order of role and node. */
  readonly members: readonly Member[];
}

export interface Membership extends AsyncDisposable {
  /** Announces this process and keeps its lease until disposed, which is a clean leave. */
  announce(member: Member): Promise<AsyncDisposable>;
  /** The last view that was seen; while the store is away it stays as it is. */
  view(): View;
  /** Resolves with the view once the store has been asked; rejects with CLUSTER_UNAVAILABLE when it does not answer. */
  refresh(): Promise<View>;
  /** Calls `listener` with each new view, the present one first. Returns how to stop. */
  watch(listener: (view: View) => void): () => void;
}
