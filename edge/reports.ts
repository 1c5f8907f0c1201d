// What clients report, counted and traced: the end of the way of a notification.

import { laneName } from '../eventlog/topics.ts';
import { DeliveryState } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { uuidTimeMs } from '../runtime/ids.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { isSampled, type Tracing } from '../runtime/tracing.ts';
import type { Reported } from '../storage/acks.ts';

const CHANNEL = 'in_app';

const traceIdOf = (traceparent: string): string => traceparent.slice(3, 35);

export interface ReportsOptions {
  clock: Clock;
  tracing: Tracing;
  metrics: Pick<Metrics, 'deliveriesTotal' | 'deliveryDuration'>;
}

export class Reports {
  readonly #options: ReportsOptions;

  constructor(options: ReportsOptions) {
    this.#options = options;
  }

  /** `traceparents`: what the client gave back, one per frame it traced. */
  acked(reported: readonly Reported[], traceparents: readonly string[]): void {
    this.#count(reported, DeliveryState.DELIVERED);
    const frames = new Map(traceparents.map((traceparent) => [traceIdOf(traceparent), traceparent]));
    for (const { traceparent, seq, notificationId } of reported) {
      if (traceparent === undefined || !isSampled(traceparent)) continue;
      // The frame's span, unless the client kept none or belongs to another trace.
      const parent = frames.get(traceIdOf(traceparent)) ?? traceparent;
      this.#options.tracing
        .span('client ack', {
          parent,
          kind: 'consumer',
          attributes: { 'carillon.seq': seq, 'carillon.notification_id': notificationId },
        })
        .end();
    }
  }

  /** Deliveries that a mark moved: by read to OPENED, else to DELIVERED. */
  marked(reported: readonly Reported[], opened: boolean): void {
    this.#count(reported, opened ? DeliveryState.OPENED : DeliveryState.DELIVERED);
  }

  #count(reported: readonly Reported[], state: DeliveryState): void {
    const { clock, metrics } = this.#options;
    const nowMs = clock.now();
    for (const { lane, notificationId, first } of reported) {
      const labels = { channel: CHANNEL, lane: laneName(lane) };
      if (first || state === DeliveryState.OPENED)
        metrics.deliveriesTotal.add(1, {
          ...labels,
          state: state === DeliveryState.OPENED ? 'OPENED' : 'DELIVERED',
        });
      if (first)
        metrics.deliveryDuration.record(Math.max(0, nowMs - uuidTimeMs(notificationId)) / 1_000, labels);
    }
  }
}
