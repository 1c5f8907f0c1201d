// Counts deliveries by channel, state and lane, without a number for anybody in particular.
import { channelName, laneName } from '../eventlog/topics.ts';
import {
  type Channel,
  type DeliveryState,
  DeliveryStateSchema,
  type Lane,
} from '../gen/carillon/v1/notification_pb.ts';
import type { Metrics } from '../runtime/metrics.ts';

export class Counts {
  readonly #metrics: Pick<Metrics, 'deliveriesTotal'>;

  constructor(metrics: Pick<Metrics, 'deliveriesTotal'>) {
    this.#metrics = metrics;
  }

  /** These rows have reached the state that they are in. */
  reached(rows: readonly { stepChannel: Channel; state: DeliveryState; lane: Lane }[]): void {
    const sums = new Map<string, { labels: Record<string, string>; count: number }>();
    for (const { stepChannel, state, lane } of rows) {
      const key = `${stepChannel}/${state}/${lane}`;
      const sum = sums.get(key);
      if (sum) sum.count++;
      else
        sums.set(key, {
          count: 1,
          labels: {
            channel: channelName(stepChannel),
            state: DeliveryStateSchema.value[state]?.localName ?? 'UNSPECIFIED',
            lane: laneName(lane),
          },
        });
    }
    for (const { labels, count } of sums.values()) this.#metrics.deliveriesTotal.add(count, labels);
  }
}
