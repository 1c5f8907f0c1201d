// The router role, put together: consumers of each lane, their due loops, and how far each stage is behind.
import type { EdgeLinks } from '../cluster/edge-link.ts';
import type { Ownership } from '../cluster/ownership.ts';
import type { Presence } from '../cluster/presence.ts';
import type { EventLog, Handoff, SubscribeOptions, Subscription } from '../eventlog/event-log.ts';
import { lanes as allLanes, fanoutTopic, laneName, rawTopic } from '../eventlog/topics.ts';
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Tracing } from '../runtime/tracing.ts';
import type { Database } from '../storage/database.ts';
import { Counts } from './counts.ts';
import { Dispatcher } from './dispatch.ts';
import { DueRows } from './due.ts';
import { DueLoop } from './due-loop.ts';
import { dueNotifications } from './due-notifications.ts';
import { Expander } from './expand.ts';
import { Presenter } from './present.ts';

export interface RouterOptions {
  database: Database;
  eventLog: EventLog;
  handoff: Handoff;
  presence: Presence;
  links: EdgeLinks;
  /** Whose users are whose, by the present view and, while edges differ, by the one before. */
  ownership: Pick<Ownership, 'owners'>;
  /** Keeps records that could not be handled. */
  onPoison: SubscribeOptions['onPoison'];
  clock: Clock;
  tracing: Tracing;
  metrics: Pick<Metrics, 'deliveriesTotal' | 'stageLag'>;
  log: Log;
  lanes?: readonly Lane[];
}

export interface Router extends AsyncDisposable {
  /** Resolves once every consumer has been assigned its partitions. */
  ready(): Promise<void>;
}

interface Stage {
  name: 'raw' | 'fanout';
  lane: Lane;
  topic: string;
  group: string;
}

const stagesOf = (lane: Lane): Stage[] => [
  { name: 'raw', lane, topic: rawTopic(lane), group: `router.raw.${laneName(lane)}` },
  { name: 'fanout', lane, topic: fanoutTopic(lane), group: `router.fanout.${laneName(lane)}` },
];

/** Starts the router. Disposing it finishes the batches in flight; what they left undone their due times find. */
export async function startRouter(options: RouterOptions): Promise<Router> {
  const { database, handoff, clock, log, eventLog, onPoison, lanes = allLanes } = options;
  await using starting = new AsyncDisposableStack();
  const counts = new Counts(options.metrics);
  const dispatcher = new Dispatcher(options);
  starting.use(new DueLoop(dueNotifications(database, handoff), { name: 'notifications', clock, log }));
  const subscriptions: Subscription[] = [];
  for (const lane of lanes) {
    const dueRows = new DueRows({ ...options, lane, dispatcher, counts });
    const loop = starting.use(new DueLoop(dueRows, { name: `rows.${laneName(lane)}`, clock, log }));
    const presenter = starting.use(
      new Presenter({ ...options, lane, dispatcher, onSooner: (inMs) => loop.nudge(inMs) }),
    );
    const expander = new Expander({ ...options, lane, presenter, counts });
    for (const { group, topic } of stagesOf(lane))
      subscriptions.push(
        starting.use(
          await eventLog.subscribe({
            group,
            topics: [topic],
            onBatch: (batch) => expander.onBatch(batch),
            onPoison,
          }),
        ),
      );
  }
  starting.use(watchLag(options, lanes.flatMap(stagesOf)));
  const running = starting.move();
  return {
    async ready() {
      await Promise.all(subscriptions.map((subscription) => subscription.ready()));
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Samples the age of the oldest record of each stage. */
function watchLag(
  { eventLog, clock, metrics, log }: RouterOptions,
  stages: readonly Stage[],
): AsyncDisposable {
  let looking: Promise<void> | undefined;
  async function look(): Promise<void> {
    for (const { name, lane, group, topic } of stages) {
      const lags = await eventLog.lag(group, [topic]);
      const oldestMs = Math.max(0, ...lags.map((lag) => lag.oldestMs));
      metrics.stageLag.record(oldestMs / 1_000, { stage: name, lane: laneName(lane) });
    }
  }
  const timer = clock.every(limits.stageLagMs, () => {
    looking ??= look()
      .catch((error: unknown) => log.warn({ err: error }, 'how far the router is behind is not known'))
      .finally(() => {
        looking = undefined;
      });
  });
  return {
    async [Symbol.asyncDispose]() {
      timer[Symbol.dispose]();
      await looking;
    },
  };
}
