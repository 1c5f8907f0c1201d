// One channel and lane of a worker: records and due rows feed the same path, and a bounded number of rows is held at once.
import { fromBinary } from '@bufbuild/protobuf';
import type { Batch, ReceivedRecord } from '../eventlog/event-log.ts';
import { channelName, laneName } from '../eventlog/topics.ts';
import { logWaited } from '../eventlog/waits.ts';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import type { Channel, Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import { addressesOf } from '../storage/addresses.ts';
import {
  type Claimed,
  callForward,
  claimDue,
  claimRows,
  earliestDueMs,
  type Share as StoreShare,
} from '../storage/claims.ts';
import type { DeliveryKey } from '../storage/delivery-row.ts';
import { escalateDue, markInterrupted, settleAmbiguous } from '../storage/interrupted.ts';
import { type DeliveryContext, deliver } from './delivery.ts';
import { DueLoop } from './due.ts';
import { ambiguousWaitMs, settle } from './next.ts';
import type { Pool } from './pool.ts';

export interface ShareOptions extends DeliveryContext {
  channel: Channel;
  lane: Lane;
  pool: Pool;
  /** Rows held at once; `limits.providerClaimedCount` when absent. */
  claimedCount?: number;
}

export class Share implements AsyncDisposable {
  readonly #options: ShareOptions;
  readonly #due: DueLoop;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #claimedCount: number;
  #claiming = 0;

  constructor(options: ShareOptions) {
    this.#options = options;
    this.#claimedCount = options.claimedCount ?? limits.providerClaimedCount;
    this.#due = new DueLoop({
      clock: options.clock,
      log: options.log,
      earliestMs: () => earliestDueMs(options.db, this.#storeShare()),
      work: () => this.#workDue(),
    });
  }

  /** Rows that this process holds or is about to take. */
  get held(): number {
    return this.#inFlight.size + this.#claiming;
  }

  /**
   * Claims the rows of a batch and returns: their calls go on without it, so that a slow provider never holds a partition.
   * Rows for which there is no room are left to the due loop, which takes them as soon as there is.
   */
  async onBatch({ records }: Batch): Promise<void> {
    const keys = records.map((record) => this.#keyOf(record));
    const room = this.#reserve(keys.length);
    const taken = keys.slice(0, room);
    const left = keys.slice(room);
    try {
      const rows = await claimRows(this.#options.db, this.#storeShare(), taken, limits.providerClaimLeaseMs);
      await this.#start(rows, new Map(records.map((record, index) => [keyText(keys[index]!), record])));
    } finally {
      this.#claiming -= room;
    }
    await callForward(this.#options.db, this.#storeShare(), left);
    if (left.length > 0) this.#due.poke();
  }

  #storeShare(): StoreShare {
    const { channel, lane, now } = this.#options;
    return { stepChannel: channel, lane, now: now() };
  }

  #keyOf(record: ReceivedRecord): DeliveryKey {
    const { notificationId, userId, planChannel } = fromBinary(ChannelRecordSchema, record.value);
    return { notificationId, userId, channel: planChannel };
  }

  #reserve(count: number): number {
    if (this.#options.stopping.aborted) return 0;
    const room = Math.max(0, Math.min(count, this.#claimedCount - this.held));
    this.#claiming += room;
    return room;
  }

  /** Returns whether there may be more to do at once. */
  async #workDue(): Promise<boolean> {
    const { db, handoff, lane, retryMs, metrics, channel, stopping } = this.#options;
    if (stopping.aborted) return false;
    const count = limits.providerDueCount;
    const share = this.#storeShare();
    const interrupted = await markInterrupted(db, share, { count, waitMs: ambiguousWaitMs(lane, retryMs) });
    if (interrupted.attempts > 0) metrics.ambiguousAttemptsTotal.add(interrupted.attempts);
    const settled = await settleAmbiguous(db, share, {
      count,
      settle: (tries) => settle(lane, tries, retryMs),
    });
    if (settled.dead > 0)
      metrics.deliveriesTotal.add(settled.dead, {
        channel: channelName(channel),
        lane: laneName(lane),
        state: 'DEAD',
      });
    const moved = await escalateDue(db, handoff, share, count);
    const room = this.#reserve(count);
    let claimed = 0;
    try {
      if (room > 0) {
        const rows = await claimDue(db, this.#storeShare(), room, limits.providerClaimLeaseMs);
        claimed = rows.length;
        await this.#start(rows, new Map());
      }
    } finally {
      this.#claiming -= room;
    }
    return interrupted.rows + settled.again + settled.dead + moved + claimed > 0;
  }

  /** Looks up the addresses and lets the rows go their way; resolves when they are on it. */
  async #start(rows: readonly Claimed[], records: ReadonlyMap<string, ReceivedRecord>): Promise<void> {
    if (rows.length === 0) return;
    const { db, channel, pool, log, tracing } = this.#options;
    const addresses = await addressesOf(db, channel, rows);
    for (const [index, row] of rows.entries()) {
      const record = records.get(keyText(row));
      const traceparent = record && logWaited(tracing, record);
      const work = deliver(this.#options, pool, row, addresses[index] ?? [], traceparent)
        .then((dueMs) => {
          if (dueMs !== undefined) this.#due.expect(dueMs);
        })
        .catch((error: unknown) =>
          log.warn(
            { err: error, notification: row.notificationId },
            'a delivery was interrupted; its lease brings it back',
          ),
        )
        .finally(() => {
          const full = this.held >= this.#claimedCount;
          this.#inFlight.delete(work);
          if (full) this.#due.poke();
        });
      this.#inFlight.add(work);
    }
  }

  /** Resolves when no row is held; new ones may come meanwhile. */
  async idle(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
  }

  /** Stops taking rows, gives back what was not begun, waits for the calls. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#due[Symbol.asyncDispose]();
    await this.idle();
  }
}

const keyText = ({ notificationId, userId, channel }: DeliveryKey): string =>
  `${notificationId}\u0000${channel}\u0000${userId}`;
