// One timer for all heartbeats: each stream has a slot of the wheel, and a slot's users are looked up in one query.
import type { Clock, Timer } from '../runtime/clock.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Session } from './session.ts';

const TURN_MS = limits.heartbeatMs / limits.heartbeatSlotsCount;

export interface HeartbeatOptions {
  clock: Clock;
  ids: Ids;
  /** Called once per turn, for what is counted rather than sent. */
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
    const due = Math.floor((this.#options.clock.monotonic() - this.#startMs) / TURN_MS);
    this.#turns = Math.max(this.#turns, due - this.#slots.length);
    while (this.#turns < due) this.#beat(this.#turns++ % this.#slots.length);
    this.#options.onTurn();
  }

  #beat(slot: number): void {
    const { clock, ids } = this.#options;
    const nowMs = clock.now();
    // The store did not answer within a turn: the stream is alive all the same.
    for (const session of this.#slots.at(slot - 1) ?? []) if (session.beatWaits) session.watermark();
    for (const session of this.#slots[slot] ?? []) {
      if (!session.open) continue;
      if (session.leaving) session.end();
      else if (nowMs >= session.expiresMs) session.goAway('AGE', ids.random() * limits.drainSpreadMs);
      else session.beat();
    }
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }
}
