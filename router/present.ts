// Shows fresh rows to those who are here, without holding up who stores the next: who was missed is looked for again, or counts as gone sooner.
import type { Presence, Whereabouts } from '../cluster/presence.ts';
import { TargetOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { DeliveryState, type Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';
import { hasten } from '../storage/deliveries.ts';
import type { DeliveryRow } from '../storage/delivery-row.ts';
import type { LoadedNotification } from '../storage/expansion.ts';
import { awayInMs } from './absence.ts';
import type { Dispatcher } from './dispatch.ts';
import { lingerOf } from './policy.ts';
import { type Reach, whom } from './whom.ts';

/** A stored row with an item, for a user who is here or may be. */
export interface Fresh {
  row: Pick<
    DeliveryRow,
    'notificationId' | 'userId' | 'channel' | 'tenant' | 'state' | 'steps' | 'step' | 'fence'
  > & { seq: number };
  where: Whereabouts;
  notification: LoadedNotification;
  traceparent: string | undefined;
}

export interface PresenterOptions extends Reach {
  lane: Lane;
  dispatcher: Dispatcher;
  presence: Presence;
  database: Database;
  clock: Clock;
  log: Log;
  /** A row is due in so many milliseconds, sooner than was known. */
  onSooner(inMs: number): void;
}

/** A row and the edges that have been asked about it. */
interface Tried {
  fresh: Fresh;
  asked: readonly string[];
}

export class Presenter implements AsyncDisposable {
  readonly #options: PresenterOptions;
  readonly #running = new Set<Promise<void>>();
  /** Rows that are tried once more when the timer ends. */
  #later: Fresh[] = [];
  #timer: Timer | undefined;

  constructor(options: PresenterOptions) {
    this.#options = options;
  }

  /** Resolves when the rows are on their way: at once while few dispatches are without answer. Never rejects. */
  async present(rows: readonly Fresh[]): Promise<void> {
    if (rows.length === 0) return;
    while (this.#running.size >= limits.dispatchesInFlightCount) await Promise.race(this.#running);
    this.#run(() => this.#show(rows));
  }

  #run(work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => {
        // The rows' due times find them.
        this.#options.log.warn({ err: error }, 'fresh rows were not shown');
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #show(rows: readonly Fresh[]): Promise<void> {
    const { presence, clock } = this.#options;
    const missed = await this.#try(rows);
    // Where nothing is known all have been asked who may hold the user, and the ack deadline decides.
    const known = missed.filter(({ fresh }) => fresh.where.known);
    if (known.length === 0) return;
    const found = await presence.locate(known.map(({ fresh }) => fresh.row));
    const again = known.map(({ fresh, asked }, index) => ({
      fresh: { ...fresh, where: found[index]! },
      asked,
    }));
    const edges = whom(this.#options);
    const isElsewhere = ({ fresh, asked }: Tried) =>
      edges(fresh.row, fresh.where).some((edge) => !asked.includes(edge));
    // Who has come back to another edge meanwhile.
    const stillMissed = await this.#try(again.filter(isElsewhere).map(({ fresh }) => fresh));
    const absent = [...again.filter((tried) => !isElsewhere(tried)), ...stillMissed];
    await this.#hasten(absent, clock.now());
    this.#lookAgain(absent);
  }

  /** Returns those whom no edge could show it. */
  async #try(rows: readonly Fresh[]): Promise<Tried[]> {
    const edges = whom(this.#options);
    const tried = rows.map((fresh): Tried => ({ fresh, asked: edges(fresh.row, fresh.where) }));
    const shown = await this.#options.dispatcher.show(
      this.#options.lane,
      tried.map(({ fresh: { row, notification, traceparent }, asked }) => ({
        notification,
        tenant: row.tenant,
        userId: row.userId,
        seq: row.seq,
        edges: asked,
        traceparent,
      })),
    );
    return tried.filter((_, index) => shown[index]?.outcome === TargetOutcome.NO_SESSION);
  }

  /** The next step need not wait for the ack of somebody who is gone. One that waits for a read has its time whoever is here. */
  async #hasten(absent: readonly Tried[], nowMs: number): Promise<void> {
    const sooner = absent.flatMap(({ fresh: { row, where, notification } }) => {
      const inMs = awayInMs(where, lingerOf(notification), nowMs, false);
      const waits = row.state === DeliveryState.WAITING && row.steps[row.step]?.until === 'ack';
      return waits && inMs !== undefined ? [{ ...row, inMs }] : [];
    });
    if (sooner.length === 0) return;
    await hasten(this.#options.database, sooner);
    this.#options.onSooner(Math.min(...sooner.map(({ inMs }) => inMs)));
  }

  /**
   * Who opens a stream in the moment of the commit may have read the head before it, and be known to presence only after
   * our look: the edge's heartbeat would show him the item up to `limits.heartbeatMs` later. So whoever vanished lately, or
   * is said to be where he is not, is looked for once more.
   */
  #lookAgain(absent: readonly Tried[]): void {
    for (const { fresh } of absent) {
      const { vanishedAtMs, edges } = fresh.where;
      if (this.#later.length >= limits.lookAgainCount) break;
      if (vanishedAtMs !== undefined || edges.length > 0) this.#later.push(fresh);
    }
    if (this.#later.length === 0) return;
    this.#timer ??= this.#options.clock.after(limits.lookAgainMs, () => {
      const rows = this.#later;
      this.#later = [];
      this.#timer = undefined;
      this.#run(async () => {
        const found = await this.#options.presence.locate(rows.map(({ row }) => row));
        await this.#try(rows.map((fresh, index) => ({ ...fresh, where: found[index]! })));
      });
    });
  }

  /** Resolves when nothing is on its way any more. Whoever was to be looked for once more is left to the edges. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#later = [];
  }
}
