// Gets one batch handled: as a whole, else record by record; what cannot be handled goes to the dead letters, what cannot be handled now waits.
import { Code } from '@connectrpc/connect';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Batch, ReceivedRecord, SubscribeOptions } from './event-log.ts';

export type Handler = Pick<SubscribeOptions, 'group' | 'onBatch' | 'onPoison'>;

export interface Delivery {
  batch: Batch;
  handler: Handler;
  clock: Clock;
  log: Log;
  /** Called as soon as the first `count` records of the batch are finished; rises. */
  progress(count: number): void;
}

/** A store or a log that does not answer is no fault of the record: it is tried again without end. */
export function isNotNow(error: unknown): boolean {
  return error instanceof CarillonError && error.code === Code.Unavailable;
}

/** Grows with every call of `wait`, up to the last of `logNotNowMs`. */
class NotNowPause {
  #nextMs: number = limits.logNotNowMs[0];

  async wait(clock: Clock, signal: AbortSignal): Promise<void> {
    await clock.sleep(this.#nextMs, signal);
    this.#nextMs = Math.min(this.#nextMs * 2, limits.logNotNowMs[1]);
  }
}

/** Resolves when every record is handled or kept by `onPoison`, or soon after the batch's signal aborted. Never rejects. */
export async function deliver(delivery: Delivery): Promise<void> {
  const { batch, handler, clock, log, progress } = delivery;
  const pause = new NotNowPause();
  while (!batch.signal.aborted) {
    try {
      await handler.onBatch(batch);
      progress(batch.records.length);
      return;
    } catch (error) {
      if (batch.signal.aborted) return;
      log.warn(
        { err: error, group: handler.group, topic: batch.topic, partition: batch.partition },
        'a batch of the log was not handled',
      );
      if (!isNotNow(error)) break;
      await pause.wait(clock, batch.signal);
    }
  }
  for (const [index, record] of batch.records.entries()) {
    if (!(await deliverOne(delivery, record))) return;
    progress(index + 1);
  }
}

/** Whether the record is finished; false when the signal aborted before. */
async function deliverOne(delivery: Delivery, record: ReceivedRecord): Promise<boolean> {
  const { batch, handler, clock } = delivery;
  const pause = new NotNowPause();
  for (let tries = 1; !batch.signal.aborted; ) {
    try {
      await handler.onBatch({ ...batch, records: [record] });
      return true;
    } catch (error) {
      if (batch.signal.aborted) return false;
      if (isNotNow(error)) {
        await pause.wait(clock, batch.signal);
        continue;
      }
      if (tries >= limits.logTries) return await bury(delivery, record, error);
      const index = Math.min(tries, limits.logRetryMs.length) - 1;
      await clock.sleep(limits.logRetryMs[index] ?? 0, batch.signal);
      tries++;
    }
  }
  return false;
}

async function bury(delivery: Delivery, record: ReceivedRecord, cause: unknown): Promise<boolean> {
  const { batch, handler, clock, log } = delivery;
  const where = {
    group: handler.group,
    topic: record.topic,
    partition: record.partition,
    offset: `${record.offset}`,
  };
  const pause = new NotNowPause();
  while (!batch.signal.aborted) {
    try {
      await handler.onPoison(record, cause);
      log.error({ err: cause, ...where }, 'a record could not be handled and is a dead letter now');
      return true;
    } catch (error) {
      log.error({ err: error, ...where }, 'a dead letter was not stored; trying again');
      await pause.wait(clock, batch.signal);
    }
  }
  return false;
}
