// What has to be looked after while roles run: the weeks to come exist before they begin, old ones go, the gauges are true.

import { laneName, lanes } from '../eventlog/topics.ts';
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Database } from '../storage/database.ts';
import { countDeadLetters } from '../storage/dead-letters.ts';
import { dropPartitions, ensurePartitions } from '../storage/partitions.ts';
import { trimRevocations } from '../storage/revocations.ts';
import type { Parts } from './parts.ts';

/** A group of readers, as the gauge of lags names it. */
export interface Stage {
  stage: string;
  lane: Lane;
  group: string;
  topics: readonly string[];
}

export interface Housekeeping {
  parts: Parts;
  db: Database;
  /** The stages that run in this process: each process tells of its own. */
  stages: readonly Stage[];
}

async function setGauges({ parts, db, stages }: Housekeeping): Promise<void> {
  const { metrics, eventLog, handoff } = parts;
  metrics.deadLetters.record(await countDeadLetters(db));
  metrics.outboxOldestAge.record(handoff.backlog().oldestMs / 1_000);
  const oldest = new Map<string, { stage: string; lane: Lane; ms: number }>();
  for (const { stage, lane, group, topics } of stages) {
    const lags = await eventLog.lag(group, topics);
    const key = `${stage} ${lane}`;
    const ms = Math.max(oldest.get(key)?.ms ?? 0, ...lags.map(({ oldestMs }) => oldestMs));
    oldest.set(key, { stage, lane, ms });
  }
  for (const { stage, lane, ms } of oldest.values())
    metrics.stageLag.record(ms / 1_000, { stage, lane: laneName(lane) });
}

/** Makes the weeks to come and drops those that are older than the retention. */
async function keepWeeks({ parts, db }: Housekeeping): Promise<void> {
  const nowMs = parts.clock.now();
  await ensurePartitions(db, nowMs);
  const dropped = await dropPartitions(db, nowMs - parts.config.retentionDays * 86_400_000);
  if (dropped.length > 0) parts.log.info({ dropped }, 'old weeks were dropped');
}

/** Begins at once; a failure is told and tried again at the next turn. Disposing it waits for what is under way. */
export function keepHouse(house: Housekeeping): AsyncDisposable {
  const { clock, log } = house.parts;
  const running = new Map<string, Promise<void>>();
  // Said once, not at every turn: readiness says what is away meanwhile.
  const failing = new Set<string>();
  const turn = (name: string, work: () => Promise<unknown>) => () => {
    if (running.has(name)) return;
    const done = work()
      .then(
        () => void failing.delete(name),
        (error: unknown) => {
          if (!failing.has(name)) log.warn({ err: error }, `${name} failed; it is tried again`);
          failing.add(name);
        },
      )
      .then(() => void running.delete(name));
    running.set(name, done);
  };
  const gauges = turn('setting the gauges', () => setGauges(house));
  const weeks = turn('keeping partitions', () => keepWeeks(house));
  const revocations = turn('forgetting old revocations', async () => {
    while ((await trimRevocations(house.db)) === limits.credentialsPageRows);
  });
  const timers = [
    clock.every(limits.gaugesMs, gauges).unref(),
    clock.every(limits.partitionsMs, weeks).unref(),
    clock.every(limits.revocationsTrimMs, revocations).unref(),
  ];
  gauges();
  return {
    async [Symbol.asyncDispose]() {
      for (const timer of timers) timer[Symbol.dispose]();
      await Promise.all(running.values());
    },
  };
}

/** One stage for every lane. */
export const stagesOf = (
  stage: string,
  of: (lane: Lane) => { group: string; topics: readonly string[] },
): Stage[] => lanes.map((lane) => ({ stage, lane, ...of(lane) }));
