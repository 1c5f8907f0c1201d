// Presence within one process: exact, and nothing is kept of a user longer than the linger.
import { type Clock, systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Presence, UserKey, Whereabouts } from './presence.ts';

const nameOf = ({ tenant, userId }: UserKey) => `${tenant}\u0000${userId}`;

export class MemoryPresence implements Presence {
  readonly #clock: Clock;
  readonly #present = new Map<string, readonly string[]>();
  /** Oldest first, so that those whose linger is over stand at the beginning. */
  readonly #vanished = new Map<string, number>();

  constructor({ clock = systemClock }: { clock?: Clock } = {}) {
    this.#clock = clock;
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
    if (closed) return;
    const nowMs = this.#clock.now();
    for (const [old, atMs] of this.#vanished) {
      if (nowMs - atMs <= limits.lingerMs) break;
      this.#vanished.delete(old);
    }
    this.#vanished.set(name, nowMs);
  }

  locate(users: readonly UserKey[]): Promise<Whereabouts[]> {
    const nowMs = this.#clock.now();
    return Promise.resolve(
      users.map((user) => {
        const name = nameOf(user);
        const atMs = this.#vanished.get(name);
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
