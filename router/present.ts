// Shows fresh rows to those who are here, without holding up who stores the next: what an edge did not have is looked at sooner.
import type { Presence, Whereabouts } from '../cluster/presence.ts';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { DeliveryState, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';
import { hasten } from '../storage/deliveries.ts';
import type { DeliveryRow } from '../storage/delivery-row.ts';
import type { LoadedNotification } from '../storage/expansion.ts';
import { awayInMs } from './absence.ts';
import type { Dispatcher } from './dispatch.ts';

/** A stored row with an item, for a user of whom an edge says that it holds him. */
export interface Fresh {
  row: Pick<
    DeliveryRow,
    'notificationId' | 'userId' | 'channel' | 'tenant' | 'state' | 'steps' | 'step' | 'fence'
  > & { seq: number };
  where: Whereabouts;
  notification: LoadedNotification;
  traceparent: string | undefined;
}

export interface PresenterOptions {
  lane: Lane;
  dispatcher: Dispatcher;
  presence: Presence;
  database: Database;
  clock: Clock;
  log: Log;
  /** A row is due in so many milliseconds, sooner than was known. */
  onSooner(inMs: number): void;
}

export class Presenter implements AsyncDisposable {
  readonly #options: PresenterOptions;
  readonly #running = new Set<Promise<void>>();

  constructor(options: PresenterOptions) {
    this.#options = options;
  }

  /** Resolves when the rows are on their way: at once while few dispatches are without answer. Never rejects. */
  async present(rows: readonly Fresh[]): Promise<void> {
    if (rows.length === 0) return;
    while (this.#running.size >= limits.dispatchesInFlightCount) await Promise.race(this.#running);
    const running = this.#show(rows)
      .catch((error: unknown) => {
        // The rows' due times find them.
        this.#options.log.warn({ err: error }, 'fresh rows were not shown');
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #show(rows: readonly Fresh[]): Promise<void> {
    const { dispatcher, presence, database, clock, lane, onSooner } = this.#options;
    const shown = await dispatcher.show(
      lane,
      rows.map(({ row, where, notification, traceparent }) => ({
        notification,
        tenant: row.tenant,
        userId: row.userId,
        seq: row.seq,
        edges: where.edges,
        traceparent,
      })),
    );
    // A step that waits for a read has its time whoever is here.
    const absent = rows.filter(
      ({ row }, index) =>
        shown[index]?.outcome === TargetOutcome.NO_SESSION &&
        row.state === DeliveryState.WAITING &&
        row.steps[row.step]?.until === 'ack',
    );
    if (absent.length === 0) return;
    const where = await presence.locate(absent.map(({ row }) => row));
    const sooner = absent.map(({ row }, index) => ({
      ...row,
      inMs: awayInMs(where[index]!, clock.now(), false),
    }));
    await hasten(database, sooner);
    onSooner(Math.min(...sooner.map(({ inMs }) => inMs)));
  }

  /** Resolves when nothing is on its way any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
  }
}
