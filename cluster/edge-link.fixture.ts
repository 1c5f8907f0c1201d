// Edges as a link sees them, and a mesh that has those members which a test names.
import { create } from '@bufbuild/protobuf';
import {
  ChangedSchema,
  HeldPresenceSchema,
  SignalOutcome,
  SignalResultSchema,
  SignalSchema,
  TargetOutcome,
  TargetResultSchema,
  TargetSchema,
} from '../gen/carillon/v1/edge_link_pb.ts';
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import type {
  Changed,
  EdgePort,
  HeldPresence,
  RouterPeer,
  Signal,
  SignalResult,
  Target,
  TargetResult,
} from './edge-link.ts';
import type { Member, Membership, View } from './membership.ts';
import type { UserKey, Whereabouts } from './presence.ts';

/** An edge that writes down what it is told, and holds the sessions that a test gives it. */
export class FakeEdge implements EdgePort {
  readonly node: string;
  readonly incarnation: string;
  readonly got: { bytes: number; userId: string; seq: number }[] = [];
  readonly told: Changed[] = [];
  readonly signals: Signal[] = [];
  /** Users by the session that is open here. */
  readonly sessions = new Map<string, string>();
  readonly peers = new Set<RouterPeer>();
  /** While set, answers wait for it. */
  hold: Promise<void> | undefined;
  #view = 'v1';

  constructor(node: string, incarnation = '0001') {
    this.node = node;
    this.incarnation = incarnation;
  }

  get view(): string {
    return this.#view;
  }

  sees(hash: string): void {
    this.#view = hash;
    for (const peer of this.peers) peer.viewed(hash);
  }

  async deliver(items: readonly Uint8Array[], targets: readonly Target[]): Promise<TargetResult[]> {
    for (const { userId, seq, item } of targets)
      this.got.push({ bytes: items[item]?.length ?? -1, userId, seq });
    await this.hold;
    return targets.map(({ seq }) =>
      create(TargetResultSchema, { outcome: TargetOutcome.ALREADY, agoMs: seq }),
    );
  }

  changed(users: readonly Changed[]): void {
    this.told.push(...users);
  }

  signal(signals: readonly Signal[]): SignalResult[] {
    this.signals.push(...signals);
    return signals.map(({ id, sessionId, userId }) =>
      create(SignalResultSchema, {
        id,
        outcome: this.sessions.get(sessionId) === userId ? SignalOutcome.DONE : SignalOutcome.NO_SESSION,
      }),
    );
  }

  held(users: readonly UserKey[]): HeldPresence[] {
    return users.map(({ userId }) =>
      create(HeldPresenceSchema, {
        streams: [...this.sessions]
          .filter(([, user]) => user === userId)
          .map(([sessionId]) => ({ sessionId, deviceId: 'phone', activity: Activity.FOREGROUND })),
      }),
    );
  }

  attach(peer: RouterPeer): () => void {
    this.peers.add(peer);
    return () => this.peers.delete(peer);
  }

  /** An inbox changed through this edge. */
  announce(userId: string, head: number): void {
    const changed = [create(ChangedSchema, { tenant: 'default', userId, head })];
    for (const peer of this.peers) peer.changed(changed);
  }

  /** Opens a session and returns its id. */
  enter(userId: string): string {
    const id = `${this.node}.${this.incarnation}.${this.sessions.size + 1}`;
    this.sessions.set(id, userId);
    return id;
  }
}

/** By each router that the edge is linked to. */
export const outcomesOf = (edge: FakeEdge, signal: Signal): Promise<SignalOutcome[]> =>
  Promise.all([...edge.peers].map((peer) => peer.signal(signal)));

/** `userId` went to the background, as was told to an edge that does not hold the session. */
export const backgroundSignal = (sessionId: string, userId: string, id = 7): Signal =>
  create(SignalSchema, {
    id,
    tenant: 'default',
    userId,
    sessionId,
    what: { case: 'activity', value: Activity.BACKGROUND },
  });

export const target = (userId: string, seq: number, item = 0): Target =>
  create(TargetSchema, { tenant: 'default', userId, seq, item });

export const edgeMember = ({ node, incarnation }: FakeEdge, address = ''): Member => ({
  role: 'edge',
  node,
  incarnation,
  address,
  url: '',
  weight: 1,
  zone: '',
});

/** A view that changes when a test says so. */
export class FakeMembership implements Membership {
  #view: View = { number: 0n, hash: 'v0', members: [] };
  readonly #watchers = new Set<(view: View) => void>();

  become(...members: readonly Member[]): void {
    const number = this.#view.number + 1n;
    this.#view = { number, hash: `v${number}`, members };
    for (const watcher of this.#watchers) watcher(this.#view);
  }
  announce(): Promise<AsyncDisposable> {
    return Promise.reject(new Error('not here'));
  }
  view(): View {
    return this.#view;
  }
  refresh(): Promise<View> {
    return Promise.resolve(this.#view);
  }
  watch(watcher: (view: View) => void): () => void {
    this.#watchers.add(watcher);
    watcher(this.#view);
    return () => this.#watchers.delete(watcher);
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** Hints as a test gives them; of others it knows that nobody holds them. */
export class FakeWhereabouts {
  readonly where = new Map<string, Whereabouts>();

  set(userId: string, edges: readonly string[], known = true): void {
    this.where.set(userId, { edges, known, foreground: edges.length > 0, vanishedAtMs: undefined });
  }
  locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    const nowhere = { edges: [], known: true, foreground: false, vanishedAtMs: undefined };
    return Promise.resolve(users.map(({ userId }) => this.where.get(userId) ?? nowhere));
  }
}
