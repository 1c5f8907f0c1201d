// The view that a process has, and those who want to know of the next one. What a view is made of is the same everywhere.
import type { Member, View } from './membership.ts';
import { ringHash } from './ring.ts';

/** Names one process of one role: a node may be an edge and a router. */
export const memberKey = ({ role, node }: Pick<Member, 'role' | 'node'>): string => `${role} ${node}`;

export const edgesOf = ({ members }: Pick<View, 'members'>): Member[] =>
  members.filter(({ role }) => role === 'edge');

/** A view of these members, in whatever order. */
export function viewOf(number: bigint, members: Iterable<Member>): View {
  const sorted = [...members].sort((a, b) =>
    Buffer.compare(Buffer.from(memberKey(a)), Buffer.from(memberKey(b))),
  );
  return { number, hash: ringHash(edgesOf({ members: sorted })), members: sorted };
}

export class Views {
  #present: View = viewOf(0n, []);
  readonly #listeners = new Set<(view: View) => void>();

  get present(): View {
    return this.#present;
  }

  /** Takes the view when it is another one. */
  set(view: View): void {
    if (view.number === this.#present.number) return;
    this.#present = view;
    for (const listener of [...this.#listeners]) listener(view);
  }

  /** Calls `listener` with the present view and each new one. Returns how to stop. */
  watch(listener: (view: View) => void): () => void {
    // Each call is one of its own, even when a listener is given twice.
    const own = (view: View) => listener(view);
    this.#listeners.add(own);
    own(this.#present);
    return () => void this.#listeners.delete(own);
  }

  clear(): void {
    this.#listeners.clear();
  }
}
