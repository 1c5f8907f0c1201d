// Who was here a moment ago, and how far: a client that comes back with all of it is greeted without a read. Nothing rests on it.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Cursor } from './cursor.ts';

/** Where a stream stood when it ended. */
export interface Lately {
  /** All up to here had been sent. */
  seq: number;
  /** Of the cursor at `seq`. */
  timeMs: number;
  unseen: number;
  unread: number;
}

interface Entry extends Lately {
  leftMs: number;
}

const keyOf = (tenant: string, userId: string): string => `${tenant}\0${userId}`;

/**
 * The users whose streams ended in the last `limits.recentMs`, at most `limits.recentUsersCount`. An entry says how far the
 * sequence had been sent, not that nothing came since: a stream that begins with it sends live items only when they follow
 * on, and is looked up in the store soon.
 */
export class Recent {
  readonly #clock: Clock;
  /** The one who left first at the front. */
  readonly #users = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#users.size;
  }

  left(tenant: string, userId: string, lately: Lately): void {
    const key = keyOf(tenant, userId);
    const known = this.#users.get(key);
    // Of several devices the one that got furthest.
    const furthest = known && known.seq > lately.seq ? known : lately;
    this.#users.delete(key);
    const nowMs = this.#clock.monotonic();
    this.#users.set(key, { ...furthest, leftMs: nowMs });
    for (const [oldest, { leftMs }] of this.#users) {
      if (this.#users.size <= limits.recentUsersCount && nowMs - leftMs < limits.recentMs) break;
      this.#users.delete(oldest);
    }
  }

  /** Something came for the user: it is for the store to say where they stand. */
  forget(tenant: string, userId: string): void {
    if (this.#users.size > 0) this.#users.delete(keyOf(tenant, userId));
  }

  /** What a stream with this cursor can begin with; undefined when that has to be read. */
  find(tenant: string, userId: string, { seq }: Cursor): Lately | undefined {
    if (this.#users.size === 0) return undefined;
    const entry = this.#users.get(keyOf(tenant, userId));
    if (entry?.seq !== seq || this.#clock.monotonic() - entry.leftMs >= limits.recentMs) return undefined;
    return entry;
  }
}
