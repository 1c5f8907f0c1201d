// A browser in memory: tabs that hold names and hear one another, and that can be killed.
import type { Tabs } from './tabs.ts';

interface Claim {
  readonly tab: string;
  held(): void;
}

export interface TestTab extends Tabs {
  /** Lets go of all it held; it hears and says nothing more. */
  kill(): void;
  /** What it would hear waits until `thaw`, or is lost then. */
  freeze(): void;
  thaw(how?: 'deaf'): void;
}

export class BrowserModel {
  readonly #lines = new Map<string, Claim[]>();
  readonly #ears = new Map<string, Set<{ tab: string; hear: (message: unknown) => void }>>();
  #next = 0;

  tab(): TestTab {
    const id = `tab-${++this.#next}`;
    const gone = new AbortController();
    let waiting: (() => void)[] | undefined;
    const arrive = (task: () => void) =>
      queueMicrotask(() => {
        if (gone.signal.aborted) return;
        if (waiting) waiting.push(task);
        else task();
      });
    return {
      id,
      channel: (name, onMessage) => {
        const ear = { tab: id, hear: (message: unknown) => arrive(() => onMessage(message)) };
        const ears = this.#ears.get(name) ?? new Set();
        this.#ears.set(name, ears.add(ear));
        gone.signal.addEventListener('abort', () => ears.delete(ear));
        return {
          post(message) {
            if (gone.signal.aborted) return;
            for (const other of ears) if (other !== ear) other.hear(structuredClone(message));
          },
          close: () => void ears.delete(ear),
        };
      },
      hold: (name, signal, held) => {
        const claim: Claim = { tab: id, held: () => arrive(held) };
        const leave = () => this.#leave(name, claim);
        signal.addEventListener('abort', leave);
        gone.signal.addEventListener('abort', leave);
        const line = this.#lines.get(name) ?? [];
        this.#lines.set(name, line);
        if (line.push(claim) === 1) claim.held();
      },
      kill: () => gone.abort(),
      freeze: () => {
        waiting ??= [];
      },
      thaw: (how) => {
        const tasks = waiting ?? [];
        waiting = undefined;
        if (how !== 'deaf') for (const task of tasks) task();
      },
    };
  }

  #leave(name: string, claim: Claim): void {
    const line = this.#lines.get(name) ?? [];
    const at = line.indexOf(claim);
    if (at >= 0) line.splice(at, 1);
    if (at === 0) line[0]?.held();
  }
}
