// Leaves without a herd: no new streams, then GoAways at the edge's pace, each client with its own time and way to come back.
import type { Ownership } from '../cluster/ownership.ts';
import type { Clock } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Admission } from './admission.ts';
import { type Departures, TICK_MS } from './departures.ts';
import type { Session } from './session.ts';

export interface DrainOptions {
  node: string;
  admission: Admission;
  departures: Departures;
  ownership: Pick<Ownership, 'member'>;
  sessions: () => Session[];
  clock: Clock;
  /** Ends what is left at once. */
  signal?: AbortSignal | undefined;
}

/**
 * Ends all streams within `limits.drainLeaveMs + limits.drainTellMs + limits.drainAckMs`, however many they are: each once
 * it has acknowledged all that it was sent, at the latest `limits.drainAckMs` after its GoAway. Whose turn would come after
 * `limits.drainTellMs` is told at that moment, with a delay that keeps the pace. Clients that leave meanwhile count as coming
 * back.
 */
export async function drain(options: DrainOptions): Promise<void> {
  const { admission, clock, sessions, signal } = options;
  admission.close();
  await left(options);
  const waiting = new Farewell(options);
  while (!signal?.aborted && waiting.turn()) await clock.sleep(TICK_MS, signal);
  for (const session of sessions()) session.end(new CarillonError('SHUTTING_DOWN'));
}

/** Waits until this edge is out of the view, so that nobody who is sent away is sent back. */
async function left({ node, ownership, sessions, clock, signal }: DrainOptions): Promise<void> {
  const untilMs = clock.monotonic() + limits.drainLeaveMs;
  while (ownership.member(node) && clock.monotonic() < untilMs && sessions().length > 0 && !signal?.aborted)
    await clock.sleep(TICK_MS, signal);
}

class Farewell {
  readonly #options: DrainOptions;
  readonly #waiting: Session[];
  /** With when they were told, monotonic. */
  readonly #told = new Map<Session, number>();
  readonly #tellUntilMs: number;
  #next = 0;

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#waiting = options.sessions();
    this.#tellUntilMs = options.clock.monotonic() + limits.drainTellMs;
  }

  /** Tells those whose turn it is, ends those who have what they need; false when nobody is left. */
  turn(): boolean {
    const nowMs = this.#options.clock.monotonic();
    const late = nowMs >= this.#tellUntilMs;
    const { departures } = this.#options;
    for (let behind = 0; this.#next < this.#waiting.length; this.#next++) {
      const session = this.#waiting[this.#next]!;
      if (session.over) continue;
      if (!late && !departures.take()) break;
      this.#tell(session, nowMs, late ? (++behind * 1_000) / departures.perSecond : 0);
    }
    this.#end(nowMs);
    return this.#next < this.#waiting.length || this.#told.size > 0;
  }

  #tell(session: Session, nowMs: number, afterMs: number): void {
    if (session.open) {
      this.#options.departures.tell(session, 'DRAIN', afterMs);
      this.#told.set(session, nowMs);
    } else session.end(new CarillonError('SHUTTING_DOWN', undefined, { retryAfterMs: Math.ceil(afterMs) }));
  }

  #end(nowMs: number): void {
    for (const [session, toldMs] of this.#told) {
      const waits = session.acknowledged < session.sentThrough && nowMs - toldMs < limits.drainAckMs;
      if (!session.over && waits) continue;
      session.end();
      this.#told.delete(session);
    }
  }
}
