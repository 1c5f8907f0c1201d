// Stand-ins for what surrounds the router: where users are, and edges that answer as a test says.
import { create, fromBinary } from '@bufbuild/protobuf';
import type { EdgeLinks, Target, TargetResult } from '../cluster/edge-link.ts';
import type { Presence, UserKey, Whereabouts } from '../cluster/presence.ts';
import { TargetOutcome, TargetResultSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import { DeliverSchema } from '../gen/carillon/v1/edge_pb.ts';
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

export class FakePresence implements Presence {
  readonly where = new Map<string, Whereabouts>();
  enter({ userId }: UserKey, edge: string): void {
    this.where.set(userId, { edges: [edge], vanishedAtMs: undefined });
  }
  leave({ userId }: UserKey, _edge: string, closed: boolean): void {
    this.where.set(userId, { edges: [], vanishedAtMs: closed ? undefined : systemClock.now() });
  }
  locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    return Promise.resolve(
      users.map(({ userId }) => this.where.get(userId) ?? { edges: [], vanishedAtMs: undefined }),
    );
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
  linked(): readonly string[] {
    return [];
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** A lane of a router on a test's database, with its surroundings. */
export function laneOf(database: Database, handoff = new RecordingHandoff(), clock: Clock = systemClock) {
  const presence = new FakePresence();
  const links = new FakeLinks();
  const sooner: number[] = [];
  const around = {
    lane: Lane.NORMAL,
    database,
    handoff,
    presence,
    links,
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
