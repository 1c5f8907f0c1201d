// Presence within one process: exact, and nothing is kept of a user longer than the longest linger. After a restart it knows
// nobody: who has not been seen yet counts as vanished at the start, since streams that the old process held come back.
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Attention, Presence, UserKey, Whereabouts } from './presence.ts';

const nameOf = ({ tenant, userId }: UserKey) => `${tenant}\u0000${userId}`;

interface Held {
  edge: string;
  attention: Attention;
}

export class MemoryPresence implements Presence {
  readonly #clock: Clock;
  readonly #present = new Map<string, readonly Held[]>();
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
    if (nowMs - this.#startedMs <= limits.lingerMaxMs) return true;
    this.#closed.clear();
    return false;
  }

  enter(user: UserKey, edge: string, attention: Attention): void {
    const name = nameOf(user);
    const others = (this.#present.get(name) ?? []).filter((held) => held.edge !== edge);
    this.#present.set(name, [...others, { edge, attention }]);
    this.#vanished.delete(name);
    this.#closed.delete(name);
  }

  leave(user: UserKey, edge: string, closed: boolean): void {
    const name = nameOf(user);
    const held = this.#present.get(name);
    const left = held?.filter((each) => each.edge !== edge);
    if (!held || !left || left.length === held.length) return;
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
      if (nowMs - atMs <= limits.lingerMaxMs) break;
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
        const held = this.#present.get(name) ?? [];
        const unseen = justStarted && held.length === 0 && !this.#closed.has(name);
        const atMs = this.#vanished.get(name) ?? (unseen ? this.#startedMs : undefined);
        const lingers = atMs !== undefined && nowMs - atMs <= limits.lingerMaxMs;
        return {
          edges: held.map(({ edge }) => edge),
          foreground: held.some(({ attention }) => attention === Activity.FOREGROUND),
          vanishedAtMs: lingers ? atMs : undefined,
          known: true,
        };
      }),
    );
  }

  /** What this process knows it knows now. */
  leaseAgesMs(edges: readonly string[]): Promise<(number | undefined)[]> {
    return Promise.resolve(edges.map(() => 0));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#present.clear();
    this.#vanished.clear();
    this.#closed.clear();
    return Promise.resolve();
  }
}
