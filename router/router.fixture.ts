// Stand-ins for what surrounds the router: where users are, and edges that answer as a test says.
import { create, fromBinary } from '@bufbuild/protobuf';
import type { EdgeLinks, HeldPresence, Target, TargetResult } from '../cluster/edge-link.ts';
import type { Attention, Presence, UserKey, Whereabouts } from '../cluster/presence.ts';
import { TargetOutcome, TargetResultSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { Activity, DeliverSchema } from '../gen/carillon/v1/edge_pb.ts';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { silentLog } from '../runtime/log.ts';
import { tracingOff } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import { RecordingHandoff } from '../test/support/recording-handoff.ts';
import { Counts } from './counts.ts';
import { Dispatcher } from './dispatch.ts';
import { DueRows } from './due.ts';
import { Expander } from './expand.ts';
import { Presenter } from './present.ts';

/** Nobody is here, and that is known. */
export const away: Whereabouts = { edges: [], foreground: false, vanishedAtMs: undefined, known: true };
export const on = (...edges: string[]): Whereabouts => ({ ...away, edges, foreground: true });
export const vanished = (vanishedAtMs: number): Whereabouts => ({ ...away, vanishedAtMs });

export class FakePresence implements Presence {
  readonly where = new Map<string, Whereabouts>();
  /** Users that were looked up, look by look. */
  readonly looks: string[][] = [];
  /** False: the hints are lost. */
  known = true;

  enter({ userId }: UserKey, edge: string, attention: Attention = Activity.FOREGROUND): void {
    this.where.set(userId, { ...on(edge), foreground: attention === Activity.FOREGROUND });
  }
  leave({ userId }: UserKey, _edge: string, closed: boolean): void {
    this.where.set(userId, closed ? away : vanished(systemClock.now()));
  }
  locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    this.looks.push(users.map(({ userId }) => userId));
    return Promise.resolve(
      users.map(({ userId }) => (this.known ? (this.where.get(userId) ?? away) : { ...away, known: false })),
    );
  }
  leaseAgesMs(edges: readonly string[]): Promise<(number | undefined)[]> {
    return Promise.resolve(edges.map(() => 0));
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

export interface ShownItem {
  edge: string;
  userId: string;
  seq: number;
  notificationId: string | undefined;
  title: string | undefined;
  traceparent: string;
}

export const answer = (outcome: TargetOutcome, agoMs = 0): TargetResult =>
  create(TargetResultSchema, { outcome, agoMs });

export class FakeLinks implements EdgeLinks {
  readonly shown: ShownItem[] = [];
  readonly batches: { edge: string; items: number; targets: number; bytes: number }[] = [];
  /** What the edge says of a user. */
  answers: (userId: string, edge: string) => TargetResult | Promise<TargetResult> = () =>
    answer(TargetOutcome.WRITTEN);

  async deliver(
    edge: string,
    items: readonly Uint8Array[],
    targets: readonly Target[],
  ): Promise<TargetResult[]> {
    this.batches.push({
      edge,
      items: items.length,
      targets: targets.length,
      bytes: items.reduce((sum, item) => sum + item.length, 0),
    });
    for (const { userId, seq, item } of targets) {
      const { item: content, traceparent } = fromBinary(DeliverSchema, items[item]!);
      const { notificationId, content: text } = content ?? {};
      this.shown.push({ edge, userId, seq, notificationId, title: text?.title, traceparent });
    }
    return Promise.all(targets.map(({ userId }) => this.answers(userId, edge)));
  }
  /** Edges with a link. */
  nodes: readonly string[] = [];
  linked(): readonly string[] {
    return this.nodes;
  }
  held(): Promise<HeldPresence[] | undefined> {
    return Promise.resolve([]);
  }
  viewOf(): string | undefined {
    return undefined;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

export class FakeOwnership {
  /** The present owner of every user first, then the one before while views differ. */
  nodes: readonly string[] = ['edge-1'];
  owners(): readonly string[] {
    return this.nodes;
  }
}

/** A lane of a router on a test's database, with its surroundings. */
export function laneOf(database: Database, handoff = new RecordingHandoff(), clock: Clock = systemClock) {
  const presence = new FakePresence();
  const links = new FakeLinks();
  const ownership = new FakeOwnership();
  const sooner: number[] = [];
  const around = {
    lane: Lane.NORMAL,
    database,
    handoff,
    presence,
    links,
    ownership,
    clock,
    tracing: tracingOff,
    log: silentLog,
    counts: new Counts({ deliveriesTotal: { add: () => {} } }),
  };
  const dispatcher = new Dispatcher(around);
  const presenter = new Presenter({ ...around, dispatcher, onSooner: (inMs) => void sooner.push(inMs) });
  return {
    ...around,
    dispatcher,
    presenter,
    sooner,
    expander: new Expander({ ...around, presenter }),
    due: new DueRows({ ...around, dispatcher }),
    /** Resolves when everything that was being shown has been answered. */
    settled: () => presenter[Symbol.asyncDispose](),
  };
}
