// Whose user is it: by the present view, and while edges have not all seen it, by those before it as well.
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Member, Membership, View } from './membership.ts';
import type { UserKey } from './presence.ts';
import { Ring, slotOf } from './ring.ts';
import { edgesOf } from './views.ts';

export interface OwnershipOptions {
  membership: Pick<Membership, 'view' | 'watch'>;
  clock: Clock;
  /** The edges with a working link; nobody when left out, and then only the present view counts. */
  linked?: () => readonly string[];
  /** Hash of the view that an edge has said it has. */
  viewOf?: (edge: string) => string | undefined;
}

interface Former {
  ring: Ring;
  /** When another took its place; monotonic. */
  endedMs: number;
}

export class Ownership implements Disposable {
  readonly #options: OwnershipOptions;
  readonly #stop: () => void;
  #view: View;
  #ring = Ring.of([]);
  #edges: ReadonlyMap<string, Member> = new Map();
  /** Newest first. */
  #formers: readonly Former[] = [];

  constructor(options: OwnershipOptions) {
    this.#options = options;
    this.#view = options.membership.view();
    this.#stop = options.membership.watch((view) => this.#look(view));
  }

  #look(view: View): void {
    const edges = edgesOf(view);
    this.#view = view;
    this.#edges = new Map(edges.map((edge) => [edge.node, edge]));
    // Routers come and go without the ring.
    if (view.hash === this.#ring.hash) return;
    const former = { ring: this.#ring, endedMs: this.#options.clock.monotonic() };
    this.#ring = Ring.of(edges, former.ring);
    this.#formers = [former, ...this.#formers].slice(0, limits.formerRingsCount);
  }

  get view(): View {
    return this.#view;
  }

  /** The edge that the user belongs to by the present view; undefined when there is no edge. */
  owner({ tenant, userId }: UserKey): Member | undefined {
    return this.member(this.#ring.owner(tenant, userId) ?? '');
  }

  /**
   * Nodes: the present owner, then those before it as long as a linked edge has not said that it has the present view, at most
   * `limits.viewDifferMs` long. A former owner need not be a member any more.
   */
  owners({ tenant, userId }: UserKey): readonly string[] {
    const slot = slotOf(tenant, userId);
    const owners = new Set<string>();
    for (const ring of [this.#ring, ...this.#standing()]) {
      const node = ring.nodeAt(slot);
      if (node !== undefined) owners.add(node);
    }
    return [...owners];
  }

  /** The rings before the present one that an edge may still go by. */
  #standing(): readonly Ring[] {
    if (this.#formers.length === 0) return [];
    const sinceMs = this.#options.clock.monotonic() - limits.viewDifferMs;
    this.#formers = this.#formers.filter(({ endedMs }) => endedMs > sinceMs);
    const { linked, viewOf } = this.#options;
    const differs = (linked?.() ?? []).some((edge) => viewOf?.(edge) !== this.#ring.hash);
    return differs ? this.#formers.map(({ ring }) => ring) : [];
  }

  /** The edge of that name in the present view. */
  member(node: string): Member | undefined {
    return this.#edges.get(node);
  }

  /** The part of all users that belongs to the edge, 0 to 1; by the present view. */
  share(node: string): number {
    return this.#ring.share(node);
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}
