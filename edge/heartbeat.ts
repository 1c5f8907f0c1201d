// One timer for all streams: each has a slot of the wheel, and a slot's users are looked up in one query.
import type { Clock, Timer } from '../runtime/clock.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Session } from './session.ts';

const TURN_MS = limits.heartbeatMs / limits.heartbeatSlotsCount;

export interface HeartbeatOptions {
  clock: Clock;
  ids: Ids;
  /** The wheel comes by the stream, once per `limits.heartbeatMs`. */
  onVisit: (session: Session) => void;
  /** The stream is as old as it should get; asked again each round until it is leaving. */
  onOld: (session: Session) => void;
  /** Called once per turn, after its streams. */
  onTurn: () => void;
}

/**
 * Every stream gets a Watermark at least every `limits.heartbeatMs`: the turn asks for a page of each of its streams,
 * so that what a link lost is sent too, at the latest then.
 */
export class Heartbeat implements Disposable {
  readonly #options: HeartbeatOptions;
  readonly #slots: Set<Session>[] = Array.from({ length: limits.heartbeatSlotsCount }, () => new Set());
  readonly #timer: Timer;
  readonly #startMs: number;
  /** Since the start. */
  #turns = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#startMs = options.clock.monotonic();
    this.#timer = options.clock.every(TURN_MS, () => this.#advance()).unref();
  }

  /** Turns since the start, by the clock: a measure of time that fits into a small number. */
  get now(): number {
    return Math.floor((this.#options.clock.monotonic() - this.#startMs) / TURN_MS);
  }

  /** A slot at random for a new stream, so that streams which opened together do not beat together. */
  slot(): number {
    return Math.floor(this.#options.ids.random() * this.#slots.length);
  }

  add(session: Session): void {
    this.#slots[session.slot]?.add(session);
  }

  remove(session: Session): void {
    this.#slots[session.slot]?.delete(session);
  }

  /** Turns that a blocked loop missed are made up for, one round of the wheel at most. */
  #advance(): void {
    const due = this.now;
    this.#turns = Math.max(this.#turns, due - this.#slots.length);
    while (this.#turns < due) this.#beat(this.#turns++ % this.#slots.length, due);
    this.#options.onTurn();
  }

  #beat(slot: number, now: number): void {
    const { onVisit, onOld } = this.#options;
    // The store did not answer within a turn: the stream is alive all the same.
    for (const session of this.#slots.at(slot - 1) ?? []) if (session.beatWaits) session.watermark();
    for (const session of this.#slots[slot] ?? []) {
      onVisit(session);
      if (!session.open) continue;
      if (session.leaving) {
        session.end();
        continue;
      }
      if (now >= session.ageTurn) onOld(session);
      if (!session.leaving) session.beat();
    }
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }
}

/** Turns of the wheel in so many milliseconds. */
export const turnsOf = (ms: number): number => Math.floor(ms / TURN_MS);
/** Milliseconds of so many turns. */
export const turnsMs = (turns: number): number => turns * TURN_MS;
