// Membership within one process: an edge is a member from its announcement to its disposal.
import type { EdgeMember, Membership } from './membership.ts';

export class MemoryMembership implements Membership {
  readonly #members = new Map<string, EdgeMember>();

  announce(member: EdgeMember): Promise<AsyncDisposable> {
    this.#members.set(member.node, member);
    return Promise.resolve({
      [Symbol.asyncDispose]: () => {
        // An older incarnation that ends late leaves the newer one alone.
        if (this.#members.get(member.node) === member) this.#members.delete(member.node);
        return Promise.resolve();
      },
    });
  }

  edges(): Promise<EdgeMember[]> {
    return Promise.resolve([...this.#members.values()]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#members.clear();
    return Promise.resolve();
  }
}
