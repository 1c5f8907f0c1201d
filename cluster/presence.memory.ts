// Presence within one process: exact, and nothing is kept of a user longer than the linger. After a restart it knows
// nobody: who has not been seen yet counts as vanished at the start, since streams that the old process held come back.
import { type Clock, systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Presence, UserKey, Whereabouts } from './presence.ts';

const nameOf = ({ tenant, userId }: UserKey) => `${tenant}\u0000${userId}`;

export class MemoryPresence implements Presence {
  readonly #clock: Clock;
  readonly #present = new Map<string, readonly string[]>();
  /** Oldest first, so that those whose linger is over stand at the beginning. */
  readonly #vanished = new Map<string, number>();
  readonly #startedMs: number;
  /** Who closed on purpose since the start; kept for the first linger only. */
  readonly #closed = new Set<string>();

  constructor({ clock = systemClock }: { clock?: Clock } = {}) {
    this.#clock = clock;
    this.#startedMs = clock.now();
  }

  #justStarted(nowMs: number): boolean {
    if (nowMs - this.#startedMs <= limits.lingerMs) return true;
    this.#closed.clear();
    return false;
  }

  enter(user: UserKey, edge: string): void {
    const name = nameOf(user);
    const edges = this.#present.get(name) ?? [];
    if (!edges.includes(edge)) this.#present.set(name, [...edges, edge]);
    this.#vanished.delete(name);
  }

  leave(user: UserKey, edge: string, closed: boolean): void {
    const name = nameOf(user);
    const edges = this.#present.get(name);
    if (!edges?.includes(edge)) return;
    const left = edges.filter((each) => each !== edge);
    if (left.length > 0) {
      this.#present.set(name, left);
      return;
    }
    this.#present.delete(name);
    const nowMs = this.#clock.now();
    if (closed) {
      if (this.#justStarted(nowMs)) this.#closed.add(name);
      return;
    }
    for (const [old, atMs] of this.#vanished) {
      if (nowMs - atMs <= limits.lingerMs) break;
      this.#vanished.delete(old);
    }
    this.#vanished.set(name, nowMs);
  }

  locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    const nowMs = this.#clock.now();
    const justStarted = this.#justStarted(nowMs);
    return Promise.resolve(
      users.map((user) => {
        const name = nameOf(user);
        const unseen = justStarted && !this.#present.has(name) && !this.#closed.has(name);
        const atMs = this.#vanished.get(name) ?? (unseen ? this.#startedMs : undefined);
        const lingers = atMs !== undefined && nowMs - atMs <= limits.lingerMs;
        return { edges: this.#present.get(name) ?? [], vanishedAtMs: lingers ? atMs : undefined };
      }),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#present.clear();
    this.#vanished.clear();
    return Promise.resolve();
  }
}
