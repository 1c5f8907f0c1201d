// Links inside one process: a call of a function. Usually there is one edge; a test may have several.
import { SignalOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { ChangedRelay } from './changed-relay.ts';
import { type EdgeLinks, type EdgePort, edgeOfSession, nobody, type RouterPeer } from './edge-link.ts';
import type { Presence } from './presence.ts';

export interface LocalEdgeLinksOptions {
  edges: readonly EdgePort[];
  presence: Pick<Presence, 'locate'>;
  clock: Clock;
}

export function localEdgeLinks({ edges, presence, clock }: LocalEdgeLinksOptions): EdgeLinks {
  const ports = new Map(edges.map((edge) => [edge.node, edge]));
  const linked = () => [...ports.keys()];
  const relay = new ChangedRelay({
    presence,
    clock,
    linked,
    send: (edge, users) => ports.get(edge)?.changed(users),
  });
  const peerOf = (node: string): RouterPeer => ({
    changed(users) {
      // With one edge there is nobody to tell.
      if (ports.size > 1) relay.tell(node, users);
    },
    signal(signal) {
      const [result] = ports.get(edgeOfSession(signal.sessionId))?.signal([signal]) ?? [];
      return Promise.resolve(result?.outcome ?? SignalOutcome.UNREACHABLE);
    },
    // It is asked for when it is needed.
    viewed() {},
  });
  const detach = edges.map((edge) => edge.attach(peerOf(edge.node)));
  return {
    async deliver(edge, items, targets) {
      return (await ports.get(edge)?.deliver(items, targets)) ?? nobody(targets);
    },
    held: (edge, users) => Promise.resolve(ports.get(edge)?.held(users)),
    linked,
    viewOf: (edge) => ports.get(edge)?.view,
    async [Symbol.asyncDispose]() {
      for (const each of detach.splice(0)) each();
      relay[Symbol.dispose]();
      ports.clear();
    },
  };
}
