// Shows items to users who are here: bytes made once per notification, one batch per edge, bounded in flight per edge and lane.
import { create } from '@bufbuild/protobuf';
import pLimit, { type LimitFunction } from 'p-limit';
import type { EdgeLinks, Target, TargetResult } from '../cluster/edge-link.ts';
import { laneName } from '../eventlog/topics.ts';
import { TargetOutcome, TargetSchema } from '../gen/carillon/v1/edge_link_pb.ts';
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Span, Tracing } from '../runtime/tracing.ts';
import { deliverTail, encodeItem, type NotificationContent } from '../storage/inbox-item.ts';

/** One item for one user. */
export interface Showing {
  notification: NotificationContent;
  tenant: string;
  userId: string;
  seq: number;
  /** The edges that say they hold the user. */
  edges: readonly string[];
  /** The span above, or the notification's own context. */
  traceparent: string | undefined;
}

/** What became of it: the best that any of the edges said. `agoMs`: at least so long ago it was written. */
export interface Shown {
  outcome: TargetOutcome;
  agoMs: number;
}

const RANK: readonly TargetOutcome[] = [
  TargetOutcome.UNSPECIFIED,
  TargetOutcome.NO_SESSION,
  TargetOutcome.CATCHING_UP,
  TargetOutcome.ALREADY,
  TargetOutcome.WRITTEN,
];

/** The better of two answers; of two ALREADY the longer ago. */
function better(a: Shown, b: Shown): Shown {
  const [rankA, rankB] = [RANK.indexOf(a.outcome), RANK.indexOf(b.outcome)];
  if (rankA === rankB) return a.agoMs >= b.agoMs ? a : b;
  return rankA > rankB ? a : b;
}

interface Batch {
  items: Uint8Array[];
  bytes: number;
  targets: Target[];
  /** Index of each target among the showings. */
  of: number[];
  /** Where an item stands in `items`, by notification. */
  at: Map<string, number>;
}

const emptyBatch = (): Batch => ({ items: [], bytes: 0, targets: [], of: [], at: new Map() });

interface Tail {
  bytes: Uint8Array;
  span: Span;
}

export class Dispatcher {
  readonly #links: EdgeLinks;
  readonly #tracing: Tracing;
  readonly #windows = new Map<string, LimitFunction>();

  constructor({ links, tracing }: { links: EdgeLinks; tracing: Tracing }) {
    this.#links = links;
    this.#tracing = tracing;
  }

  /** Sends to all edges of every user; answers in the order of `showings`. NO_SESSION for users with no edge. Never throws. */
  async show(lane: Lane, showings: readonly Showing[]): Promise<Shown[]> {
    const results = showings.map((): Shown => ({ outcome: TargetOutcome.NO_SESSION, agoMs: 0 }));
    const tails = this.#encode(lane, showings);
    const sent: Promise<void>[] = [];
    for (const [edge, batches] of batchesOf(showings, tails))
      for (const batch of batches)
        sent.push(
          this.#send(lane, edge, batch).then((answers) => {
            answers.forEach(({ outcome, agoMs }, index) => {
              const at = batch.of[index]!;
              results[at] = better(results[at]!, { outcome, agoMs });
            });
          }),
        );
    await Promise.all(sent);
    for (const { span } of tails.values()) span.end();
    return results;
  }

  #encode(lane: Lane, showings: readonly Showing[]): Map<string, Tail> {
    const tails = new Map<string, Tail>();
    for (const { notification, traceparent, edges } of showings) {
      if (edges.length === 0 || tails.has(notification.id)) continue;
      const span = this.#tracing.span('link', {
        parent: traceparent,
        kind: 'client',
        attributes: { 'carillon.notification_id': notification.id, 'carillon.lane': laneName(lane) },
      });
      tails.set(notification.id, { span, bytes: deliverTail(encodeItem(notification), span.traceparent) });
    }
    return tails;
  }

  async #send(lane: Lane, edge: string, { items, targets }: Batch): Promise<TargetResult[]> {
    const name = `${lane}/${edge}`;
    let window = this.#windows.get(name);
    if (!window) {
      window = pLimit(limits.linkInFlightCount);
      this.#windows.set(name, window);
    }
    const answers = await window(() => this.#links.deliver(edge, items, targets));
    // Edges come and go: a window that nobody uses is not kept.
    if (window.activeCount + window.pendingCount <= 1) this.#windows.delete(name);
    return answers;
  }
}

function batchesOf(showings: readonly Showing[], tails: ReadonlyMap<string, Tail>): Map<string, Batch[]> {
  const edges = new Map<string, Batch[]>();
  showings.forEach(({ notification, tenant, userId, seq, edges: nodes }, index) => {
    const bytes = tails.get(notification.id)?.bytes;
    if (!bytes) return;
    for (const edge of nodes) {
      const batches = edges.get(edge) ?? [];
      if (batches.length === 0) edges.set(edge, batches);
      let batch = batches.at(-1);
      if (!batch || batch.targets.length >= limits.linkTargetsCount || batch.bytes >= limits.linkBatchBytes) {
        batch = emptyBatch();
        batches.push(batch);
      }
      let item = batch.at.get(notification.id);
      if (item === undefined) {
        item = batch.items.push(bytes) - 1;
        batch.at.set(notification.id, item);
        batch.bytes += bytes.length;
      }
      batch.targets.push(create(TargetSchema, { tenant, userId, seq, item }));
      batch.of.push(index);
    }
  });
  return edges;
}
