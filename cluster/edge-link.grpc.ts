// Links to the edges of a cluster: one gRPC stream to each that membership names, and to those that leave until they are gone.
import { SignalOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Ids } from '../runtime/ids.ts';
import type { Log } from '../runtime/log.ts';
import { ChangedRelay } from './changed-relay.ts';
import { type EdgeLinks, edgeOfSession, nobody, type Signal } from './edge-link.ts';
import { GrpcLink } from './grpc-link.ts';
import type { LinkSecurity } from './link-security.ts';
import type { Member, Membership, View } from './membership.ts';
import type { Presence } from './presence.ts';

export interface GrpcEdgeLinksOptions {
  membership: Pick<Membership, 'view' | 'watch'>;
  presence: Pick<Presence, 'locate'>;
  clock: Clock;
  ids: Ids;
  log: Log;
  /** Absent: links are neither encrypted nor signed, as on loopback. */
  security?: LinkSecurity;
}

const isSame = (link: GrpcLink, { incarnation, address }: Member): boolean =>
  link.member.incarnation === incarnation && link.member.address === address;

class GrpcEdgeLinks implements EdgeLinks {
  readonly #options: GrpcEdgeLinksOptions;
  readonly #links = new Map<string, GrpcLink>();
  readonly #relay: ChangedRelay;
  readonly #stopWatching: () => void;

  constructor(options: GrpcEdgeLinksOptions) {
    this.#options = options;
    this.#relay = new ChangedRelay({
      ...options,
      linked: () => this.linked(),
      send: (edge, users) => this.#links.get(edge)?.changed(users),
    });
    this.#stopWatching = options.membership.watch((view) => this.#look(view));
  }

  #look({ members }: View): void {
    const edges = new Map(members.flatMap((each) => (each.role === 'edge' ? [[each.node, each]] : [])));
    for (const [node, link] of [...this.#links]) {
      const member = edges.get(node);
      // An edge that leaves still holds streams until it has drained, and one whose lease was lost may hold them for ever.
      if (!member && link.linked) link.leaving = true;
      else if (member && isSame(link, member)) link.leaving = false;
      else {
        this.#links.delete(node);
        link[Symbol.dispose]();
      }
    }
    for (const member of edges.values()) if (!this.#links.has(member.node)) this.#open(member);
  }

  #open(member: Member): void {
    const { node } = member;
    const { membership, security = {} } = this.#options;
    const link: GrpcLink = new GrpcLink({
      ...this.#options,
      member,
      security,
      view: () => membership.view().hash,
      onChanged: (users) => this.#relay.tell(node, users),
      onSignals: (signals) => {
        for (const signal of signals) void this.#forward(link, signal);
      },
      onEnd: () => {
        if (this.#links.get(node) === link) this.#links.delete(node);
      },
    });
    this.#links.set(node, link);
  }

  /** A signal of one edge for a session of another: its result goes back the way that it came. */
  async #forward(from: GrpcLink, signal: Signal): Promise<void> {
    const to = this.#links.get(edgeOfSession(signal.sessionId));
    from.signalled(signal.id, to ? await to.signal(signal) : SignalOutcome.UNREACHABLE);
  }

  async deliver(...[edge, items, targets]: Parameters<EdgeLinks['deliver']>) {
    return (await this.#links.get(edge)?.deliver(items, targets)) ?? nobody(targets);
  }

  async held(...[edge, users]: Parameters<EdgeLinks['held']>) {
    return await this.#links.get(edge)?.held(users);
  }

  linked(): readonly string[] {
    return [...this.#links].filter(([, link]) => link.linked).map(([node]) => node);
  }

  viewOf(edge: string): string | undefined {
    return this.#links.get(edge)?.view;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stopWatching();
    this.#relay[Symbol.dispose]();
    for (const link of this.#links.values()) link[Symbol.dispose]();
    this.#links.clear();
    return Promise.resolve();
  }
}

export const grpcEdgeLinks = (options: GrpcEdgeLinksOptions): EdgeLinks => new GrpcEdgeLinks(options);
