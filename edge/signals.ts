// What this edge has to say to others goes by the routers that linked themselves: which one carries it does not matter.
import type { Changed, RouterPeer, Signal } from '../cluster/edge-link.ts';
import { SignalOutcome } from '../gen/carillon/v1/edge_link_pb.ts';
import { limits } from '../runtime/limits.ts';

export class Signals {
  #peers: readonly RouterPeer[] = [];
  #turn = 0;
  #waiting = 0;

  /** A router linked itself. Returns how to take the link away. */
  attach(peer: RouterPeer): () => void {
    // Each call is one link, even when a peer is given twice.
    const own: RouterPeer = {
      changed: (users) => peer.changed(users),
      signal: (signal) => peer.signal(signal),
      viewed: (hash) => peer.viewed(hash),
    };
    this.#peers = [...this.#peers, own];
    return () => {
      this.#peers = this.#peers.filter((other) => other !== own);
    };
  }

  /** Every router may hold the link to an edge that has the user, so all are told; telling twice is harmless. */
  changed(users: readonly Changed[]): void {
    for (const peer of this.#peers) peer.changed(users);
  }

  viewed(hash: string): void {
    for (const peer of this.#peers) peer.viewed(hash);
  }

  /**
   * Hands the signal to the edge that its session names, by one router and, when that does not reach it, by the next: at
   * most `limits.signalPeersCount`. UNREACHABLE at once without routers, or while too many wait. Never rejects.
   */
  async send(signal: Signal): Promise<SignalOutcome> {
    if (this.#waiting >= limits.signalsWaitingCount) return SignalOutcome.UNREACHABLE;
    const peers = this.#peers;
    const tries = Math.min(peers.length, limits.signalPeersCount);
    const first = this.#turn++;
    this.#waiting++;
    try {
      for (let next = 0; next < tries; next++) {
        const outcome = await peers[(first + next) % peers.length]!.signal(signal);
        if (outcome !== SignalOutcome.UNREACHABLE) return outcome;
      }
      return SignalOutcome.UNREACHABLE;
    } finally {
      this.#waiting--;
    }
  }
}
