// Links to the edges of a cluster: one gRPC stream to each that membership names, opened again whenever it breaks.
import { create } from '@bufbuild/protobuf';
import { TargetOutcome, TargetResultSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import { ChangedRelay } from './changed-relay.ts';
import type { EdgeLinks } from './edge-link.ts';
import { GrpcLink } from './grpc-link.ts';
import type { EdgeMember, Membership } from './membership.ts';
import type { Presence } from './presence.ts';

export interface GrpcEdgeLinksOptions {
  membership: Membership;
  presence: Presence;
  clock: Clock;
  ids: Ids;
  log: Log;
}

export function grpcEdgeLinks({ membership, presence, clock, ids, log }: GrpcEdgeLinksOptions): EdgeLinks {
  const links = new Map<string, GrpcLink>();
  let closed = false;
  let looking: Promise<void> | undefined;
  const relay = new ChangedRelay({
    presence,
    clock,
    send: (edge, users) => links.get(edge)?.tell(users),
  });

  const isSame = (link: GrpcLink, member: EdgeMember) =>
    link.member.incarnation === member.incarnation && link.member.linkAddress === member.linkAddress;

  async function look(): Promise<void> {
    const members = await membership.edges();
    if (closed) return;
    const wanted = new Map(members.map((member) => [member.node, member]));
    for (const [node, link] of links) {
      const member = wanted.get(node);
      if (member && isSame(link, member)) continue;
      links.delete(node);
      link[Symbol.dispose]();
    }
    for (const [node, member] of wanted) {
      if (links.has(node)) continue;
      const onChanged = (users: Parameters<ChangedRelay['tell']>[1]) => relay.tell(node, users);
      links.set(node, new GrpcLink({ member, clock, ids, log, onChanged }));
    }
  }

  /** Membership that does not answer changes nothing: the links that stand go on. */
  const lookOnce = () => {
    looking ??= look()
      .catch((error: unknown) => log.warn({ err: error }, 'the edges of the cluster are not known'))
      .finally(() => {
        looking = undefined;
      });
  };
  const timer: Timer = clock.every(limits.linkMembersMs, lookOnce).unref();
  lookOnce();

  return {
    async deliver(edge, items, targets) {
      const link = links.get(edge);
      if (link) return link.deliver(items, targets);
      return targets.map(() => create(TargetResultSchema, { outcome: TargetOutcome.NO_SESSION }));
    },
    linked: () => [...links].filter(([, link]) => link.linked).map(([node]) => node),
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      timer[Symbol.dispose]();
      await looking;
      relay[Symbol.dispose]();
      for (const link of links.values()) link[Symbol.dispose]();
      links.clear();
    },
  };
}
