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

interface Later {
  fresh: Fresh;
  /** How often it was put off. */
  round: number;
  /** Monotonic. */
  atMs: number;
}

export class Presenter implements AsyncDisposable {
  readonly #options: PresenterOptions;
  readonly #running = new Set<Promise<void>>();
  #later: Later[] = [];
  #timer: Timer | undefined;

  constructor(options: PresenterOptions) {
    this.#options = options;
  }

  /** Whether something is on its way. */
  get busy(): boolean {
    return this.#running.size > 0;
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
    const missed = await this.#try(rows);
    // Where nothing is known all have been asked who may hold the user, and the ack deadline decides.
    const unknown = missed.filter(({ fresh }) => !fresh.where.known);
    const absent = await this.#tryElsewhere(missed.filter(({ fresh }) => fresh.where.known));
    await this.#hasten(absent);
    for (const { fresh } of [...unknown, ...absent]) this.#tryLater(fresh, 0);
  }

  /** Asks where those are who have come back to another edge meanwhile. Returns who is still missed, with where they are now. */
  async #tryElsewhere(missed: readonly Tried[]): Promise<Tried[]> {
    if (missed.length === 0) return [];
    const found = await this.#options.presence.locate(missed.map(({ fresh }) => fresh.row));
    const edges = whom(this.#options);
    const again = missed.map(({ fresh, asked }, index): Tried & { elsewhere: boolean } => {
      const where = found[index]!;
      return {
        fresh: { ...fresh, where },
        asked,
        elsewhere: edges(fresh.row, where).some((edge) => !asked.includes(edge)),
      };
    });
    const shown = await this.#try(again.filter(({ elsewhere }) => elsewhere).map(({ fresh }) => fresh));
    return [...again.filter(({ elsewhere }) => !elsewhere), ...shown];
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
  async #hasten(absent: readonly Tried[]): Promise<void> {
    const nowMs = this.#options.clock.now();
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
   * our look; an edge that was stopped, or whose link is not open yet, answers nothing. The edge's heartbeat would show the
   * item up to `limits.heartbeatMs` later. So whoever may be here all the same is looked for again, a few times.
   */
  #tryLater(fresh: Fresh, round: number): void {
    const { clock } = this.#options;
    const { vanishedAtMs, edges, known } = fresh.where;
    const pauseMs = limits.lookAgainMs[round];
    if (pauseMs === undefined || this.#later.length >= limits.lookAgainCount) return;
    if (known && vanishedAtMs === undefined && edges.length === 0) return;
    this.#later.push({ fresh, round, atMs: clock.monotonic() + pauseMs });
    this.#timer ??= clock.every(limits.lookAgainMs[0], () => this.#run(() => this.#tryAgain()));
  }

  async #tryAgain(): Promise<void> {
    const { clock, presence } = this.#options;
    const nowMs = clock.monotonic();
    const due = this.#later.filter(({ atMs }) => atMs <= nowMs);
    this.#later = this.#later.filter(({ atMs }) => atMs > nowMs);
    if (this.#later.length === 0) this.#rest();
    if (due.length === 0) return;
    const found = await presence.locate(due.map(({ fresh }) => fresh.row));
    const rounds = new Map<object, number>();
    const rows = due.map(({ fresh, round }, index): Fresh => {
      rounds.set(fresh.row, round);
      return { ...fresh, where: found[index]! };
    });
    for (const { fresh } of await this.#try(rows)) this.#tryLater(fresh, rounds.get(fresh.row)! + 1);
  }

  #rest(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  /** Resolves when nothing is on its way any more. Whoever was to be looked for again is left to the edges. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
    this.#later = [];
    this.#rest();
  }
}
