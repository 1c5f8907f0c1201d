// Links inside one process: a call of a function. Usually there is one edge; a test may have several.
import { create } from '@bufbuild/protobuf';
import { TargetOutcome, TargetResultSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { ChangedRelay } from './changed-relay.ts';
import type { EdgeLinks, EdgePort } from './edge-link.ts';
import type { Presence } from './presence.ts';

export interface LocalEdgeLinksOptions {
  edges: readonly EdgePort[];
  presence: Presence;
  clock: Clock;
}

export function localEdgeLinks({ edges, presence, clock }: LocalEdgeLinksOptions): EdgeLinks {
  const ports = new Map(edges.map((edge) => [edge.node, edge]));
  const relay = new ChangedRelay({
    presence,
    clock,
    send: (edge, users) => ports.get(edge)?.changed(users),
  });
  // With one edge there is nobody to tell.
  const stops =
    edges.length > 1 ? edges.map((edge) => edge.onChanged((users) => relay.tell(edge.node, users))) : [];
  return {
    async deliver(edge, items, targets) {
      const port = ports.get(edge);
      if (port) return port.deliver(items, targets);
      return targets.map(() => create(TargetResultSchema, { outcome: TargetOutcome.NO_SESSION }));
    },
    linked: () => [...ports.keys()],
    async [Symbol.asyncDispose]() {
      for (const stop of stops) stop();
      relay[Symbol.dispose]();
      ports.clear();
    },
  };
}
