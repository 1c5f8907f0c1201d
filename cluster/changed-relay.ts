// What changed through one edge is told to the others that hold the user: many changes at once, each user's newest head.
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Changed } from './edge-link.ts';
import type { Presence } from './presence.ts';

export interface ChangedRelayOptions {
  presence: Pick<Presence, 'locate'>;
  clock: Clock;
  /** Who is told when the hints are lost. */
  linked(): readonly string[];
  /** Tells one edge. What it cannot take now its heartbeat finds. */
  send(edge: string, users: readonly Changed[]): void;
}

interface Waiting {
  from: string;
  changed: Changed;
}

export class ChangedRelay implements Disposable {
  readonly #options: ChangedRelayOptions;
  readonly #waiting = new Map<string, Waiting>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: ChangedRelayOptions) {
    this.#options = options;
  }

  /** The edge `from` says so. Never throws and never waits. */
  tell(from: string, users: readonly Changed[]): void {
    if (this.#closed) return;
    for (const changed of users) {
      const key = `${changed.tenant}\u001f${changed.userId}`;
      const known = this.#waiting.get(key);
      if (!known && this.#waiting.size >= limits.linkChangedCount) continue;
      if (!known || known.changed.head < changed.head) this.#waiting.set(key, { from, changed });
    }
    if (this.#waiting.size > 0)
      this.#timer ??= this.#options.clock.after(limits.linkChangedMs, () => void this.#flush());
  }

  async #flush(): Promise<void> {
    this.#timer = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    const { presence, linked, send } = this.#options;
    const whereabouts = await presence.locate(waiting.map(({ changed }) => changed)).catch(() => []);
    if (this.#closed) return;
    const byEdge = new Map<string, Changed[]>();
    waiting.forEach(({ from, changed }, index) => {
      const where = whereabouts[index];
      for (const edge of where?.known ? where.edges : linked()) {
        if (edge === from) continue;
        const users = byEdge.get(edge);
        if (users) users.push(changed);
        else byEdge.set(edge, [changed]);
      }
    });
    for (const [edge, users] of byEdge) send(edge, users);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }
}
