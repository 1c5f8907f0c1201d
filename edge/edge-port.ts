// What this edge is to routers: its streams, its view, and what it has to say and to hear by their links.
import { create } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { EdgePort, Signal, SignalOutcome } from '../cluster/edge-link.ts';
import type { View } from '../cluster/membership.ts';
import type { UserKey } from '../cluster/presence.ts';
import {
  type HeldPresence,
  HeldPresenceSchema,
  SignalOutcome as Outcome,
  SignalResultSchema,
} from '../gen/carillon/v1/edge_link_pb.ts';
import { activityAttention } from './attention.ts';
import { durationOf } from './frames.ts';
import { turnsMs } from './heartbeat.ts';
import type { Hub } from './hub.ts';
import type { Signals } from './signals.ts';

/** Does what the signal says to the session that it names. The only way, whether it was said here or at another edge. */
export function applySignal(hub: Hub, signal: Signal): SignalOutcome {
  const session = hub.session(signal.sessionId, signal);
  if (!session) return Outcome.NO_SESSION;
  const { what } = signal;
  if (what.case === 'activity') hub.setAttention(session, activityAttention(what.value));
  else if (what.case === 'acknowledged') hub.acknowledged(session, what.value);
  else if (what.case === 'reauthenticated') {
    const { issuedAt, tokenExpiry } = what.value;
    hub.renew(session, issuedAt ? timestampMs(issuedAt) : 0, tokenExpiry && timestampMs(tokenExpiry));
  }
  return Outcome.DONE;
}

function heldOf(hub: Hub, user: UserKey): HeldPresence {
  const nowTurn = hub.turn;
  const since = (turn: number) => durationOf(turnsMs(nowTurn - turn));
  const streams = hub
    .sessionsOf(user)
    .filter(({ over }) => !over)
    .map((session) => ({
      sessionId: session.id,
      // A client that does not name its device is one of its own.
      deviceId: session.deviceId || session.id,
      activity: session.attention,
      openFor: since(session.openedTurn),
      ...(session.ackedTurn >= 0 && { lastAckAge: since(session.ackedTurn) }),
    }));
  return create(HeldPresenceSchema, { streams });
}

export interface EdgePortOptions {
  node: string;
  incarnation: string;
  hub: Hub;
  signals: Signals;
  ownership: { readonly view: Pick<View, 'hash'> };
}

export function edgePort({ node, incarnation, hub, signals, ownership }: EdgePortOptions): EdgePort {
  return {
    node,
    incarnation,
    get view() {
      return ownership.view.hash;
    },
    deliver: (items, targets) => hub.deliver(items, targets),
    changed: (users) => hub.changed(users),
    signal: (asked) =>
      asked.map((signal) => create(SignalResultSchema, { id: signal.id, outcome: applySignal(hub, signal) })),
    held: (users) => users.map((user) => heldOf(hub, user)),
    attach: (peer) => signals.attach(peer),
  };
}
