// The port to membership: which edges there are. Each says so itself, under a lease.

export interface EdgeMember {
  node: string;
  /** New at every start of the process: what an older one said no longer holds. */
  incarnation: string;
  /** Where routers open their link, `host:port`. */
  linkAddress: string;
}

export interface Membership extends AsyncDisposable {
  /** Announces this edge and keeps its lease until disposed. */
  announce(member: EdgeMember): Promise<AsyncDisposable>;
  /** The edges whose lease holds. */
  edges(): Promise<EdgeMember[]>;
}
