// Membership within one process: a member from its announcement to its disposal.
import type { Member, Membership, View } from './membership.ts';
import { memberKey, Views, viewOf } from './views.ts';

export class MemoryMembership implements Membership {
  readonly #announced = new Set<Member>();
  readonly #views = new Views();

  announce(member: Member): Promise<AsyncDisposable> {
    const own = { ...member };
    this.#announced.add(own);
    this.#look();
    return Promise.resolve({
      [Symbol.asyncDispose]: () => {
        if (this.#announced.delete(own)) this.#look();
        return Promise.resolve();
      },
    });
  }

  /** Of each node its newest incarnation counts, whatever the order in which they come and go. */
  #look(): void {
    const newest = new Map<string, Member>();
    for (const member of this.#announced) {
      const known = newest.get(memberKey(member));
      if (!known || known.incarnation < member.incarnation) newest.set(memberKey(member), member);
    }
    this.#views.set(viewOf(this.#views.present.number + 1n, newest.values()));
  }

  view(): View {
    return this.#views.present;
  }

  refresh(): Promise<View> {
    return Promise.resolve(this.#views.present);
  }

  watch(listener: (view: View) => void): () => void {
    return this.#views.watch(listener);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#announced.clear();
    this.#views.clear();
    return Promise.resolve();
  }
}
