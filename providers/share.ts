// One channel and lane of a worker: records and due rows feed the same path, and a bounded number of rows is held at once.
import { fromBinary } from '@bufbuild/protobuf';
import type { Batch, ReceivedRecord } from '../eventlog/event-log.ts';
import { channelName, laneName } from '../eventlog/topics.ts';
import { logWaited } from '../eventlog/waits.ts';
import { ChannelRecordSchema } from '../gen/carillon/v1/event_pb.ts';
import { Channel, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { addressesOf } from '../storage/addresses.ts';
import {
  type Claimed,
  callForward,
  claimDue,
  claimRows,
  earliestDueMs,
  renewClaims,
  type Share as StoreShare,
} from '../storage/claims.ts';
import { earliestClearMs, takeClears } from '../storage/clears.ts';
import type { DeliveryKey } from '../storage/delivery-row.ts';
import { endLeases, escalateDue, markInterrupted, settleAmbiguous } from '../storage/interrupted.ts';
import { clearPushes } from './clear.ts';
import { type DeliveryContext, deliver } from './delivery.ts';
import { DueLoop } from './due.ts';
import { ambiguousWaitMs, settle } from './next.ts';
import type { Pools } from './pools.ts';

export interface ShareOptions extends DeliveryContext {
  channel: Channel;
  lane: Lane;
  pools: Pools;
  /** Rows held at once; `limits.providerClaimedCount` when absent. */
  claimedCount?: number;
  /** No other process works on this store: what an earlier one left is taken up at once. */
  alone?: boolean;
}

export class Share implements AsyncDisposable {
  readonly #options: ShareOptions;
  readonly #due: DueLoop;
  /** Rows on their way, and since when. */
  readonly #inFlight = new Map<Promise<void>, { row: Claimed; sinceMs: number }>();
  /** Rows whose pushes are being taken back. */
  readonly #clearing = new Set<Promise<void>>();
  readonly #renewal: Timer;
  #renewing: Promise<void> | undefined;
  #mayHaveLeft: boolean;
  readonly #claimedCount: number;
  #claiming = 0;

  constructor(options: ShareOptions) {
    this.#options = options;
    this.#claimedCount = options.claimedCount ?? limits.providerClaimedCount;
    this.#mayHaveLeft = options.alone === true;
    this.#renewal = options.clock.every(limits.providerRenewMs, () => this.#renew());
    this.#due = new DueLoop({
      clock: options.clock,
      log: options.log,
      earliestMs: () => this.#earliestMs(),
      work: () => this.#workDue(),
    });
  }

  /** Rows that this process holds or is about to take. */
  get held(): number {
    return this.#inFlight.size + this.#claiming;
  }

  /**
   * Claims the rows of a batch and returns: their calls go on without it, so that a slow provider never holds a partition.
   * Rows for which there is no room are left to the due loop, which takes them as soon as there is; as are pushes to take back.
   */
  async onBatch(batch: Batch): Promise<void> {
    const heard = batch.records.map((record) => ({
      record,
      says: fromBinary(ChannelRecordSchema, record.value),
    }));
    if (heard.some(({ says }) => says.clear)) this.#due.poke();
    const sends = heard.filter(({ says }) => !says.clear);
    const records = sends.map(({ record }) => record);
    const keys = sends.map(
      ({ says: { notificationId, userId, planChannel } }): DeliveryKey => ({
        notificationId,
        userId,
        channel: planChannel,
      }),
    );
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

  async #earliestMs(): Promise<number | undefined> {
    const { db } = this.#options;
    if (this.#mayHaveLeft) await endLeases(db, this.#storeShare(), limits.providerClaimLeaseMs);
    this.#mayHaveLeft = false;
    const dueMs = await earliestDueMs(db, this.#storeShare());
    const clearMs = this.#clears ? await earliestClearMs(db, this.#storeShare()) : undefined;
    return dueMs === undefined || clearMs === undefined ? (dueMs ?? clearMs) : Math.min(dueMs, clearMs);
  }

  /** Mails and text messages stay where they are. */
  get #clears(): boolean {
    return this.#options.channel === Channel.PUSH;
  }

  /** Rows that wait for a slot are ours as long as we live; most get theirs before the first renewal. */
  #renew(): void {
    const { db, clock, log, now } = this.#options;
    const oldMs = clock.monotonic() - limits.providerRenewMs / 2;
    const rows = [...this.#inFlight.values()].filter(({ sinceMs }) => sinceMs <= oldMs).map(({ row }) => row);
    if (rows.length === 0) return;
    this.#renewing ??= renewClaims(db, rows, limits.providerClaimLeaseMs, now())
      .catch((error: unknown) => log.debug({ err: error }, 'claims were not renewed; others may take them'))
      .finally(() => {
        this.#renewing = undefined;
      });
  }

  #storeShare(): StoreShare {
    const { channel, lane, now } = this.#options;
    return { stepChannel: channel, lane, now: now() };
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
    const cleared = this.#clears ? await this.#clearDue() : 0;
    return interrupted.rows + settled.again + settled.dead + moved + claimed + cleared > 0;
  }

  /** Lets what is to be taken back go its way; how many rows that is. */
  async #clearDue(): Promise<number> {
    const { db, channel, pools, log } = this.#options;
    const room = limits.clearsInFlightCount - this.#clearing.size;
    const rows = await takeClears(db, this.#storeShare(), room);
    const addresses = await addressesOf(db, channel, rows);
    for (const [index, row] of rows.entries()) {
      const work = pools
        .of(row.tenant, channel)
        .then((pool) => clearPushes(this.#options, pool, row, addresses[index] ?? []))
        .then((dueMs) => {
          if (dueMs !== undefined) this.#due.expect(dueMs);
        })
        .catch((error: unknown) =>
          log.warn(
            { err: error, notification: row.notificationId },
            'a push was not taken back; its lease brings it again',
          ),
        )
        .finally(() => {
          const full = this.#clearing.size >= limits.clearsInFlightCount;
          this.#clearing.delete(work);
          if (full) this.#due.poke();
        });
      this.#clearing.add(work);
    }
    return rows.length;
  }

  /** Looks up the addresses and lets the rows go their way; resolves when they are on it. */
  async #start(rows: readonly Claimed[], records: ReadonlyMap<string, ReceivedRecord>): Promise<void> {
    if (rows.length === 0) return;
    const { db, channel, pools, log, tracing, clock } = this.#options;
    const addresses = await addressesOf(db, channel, rows);
    for (const [index, row] of rows.entries()) {
      const record = records.get(keyText(row));
      const traceparent = record && logWaited(tracing, record);
      const work = pools
        .of(row.tenant, channel)
        .then((pool) => deliver(this.#options, pool, row, addresses[index] ?? [], traceparent))
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
      this.#inFlight.set(work, { row, sinceMs: clock.monotonic() });
    }
  }

  /** Resolves when no row is held; new ones may come meanwhile. */
  async idle(): Promise<void> {
    while (this.#inFlight.size + this.#clearing.size > 0)
      await Promise.all([...this.#inFlight.keys(), ...this.#clearing]);
  }

  /** Stops taking rows, gives back what was not begun, waits for the calls. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#due[Symbol.asyncDispose]();
    await this.idle();
    this.#renewal[Symbol.dispose]();
    await this.#renewing;
  }
}

const keyText = ({ notificationId, userId, channel }: DeliveryKey): string =>
  `${notificationId}\u0000${channel}\u0000${userId}`;
