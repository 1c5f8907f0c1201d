// The providers of one tenant and channel in their order: which one takes an address now, and slots to call them.
import type { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { DestinationAddress } from '../storage/addresses.ts';
import { slotLane } from './lanes.ts';
import type { Member } from './member.ts';

/** Which provider takes an address: one of them now, none before `waitMs`, or none at all (`undefined`). */
export type Choice = { member: Member } | { waitMs: number } | undefined;

export interface Chooser {
  lane: Lane;
  /** Providers that had their turn in this try. */
  asked: ReadonlySet<string>;
  /** Providers that may have sent it already; they are taken when there is no other. */
  last: ReadonlySet<string>;
}

/** One of the lowest position, each as often as its weight says. `random`: in [0, 1). */
function ofFirstPosition(members: readonly Member[], random: number): Member | undefined {
  const lowest = Math.min(...members.map(({ place }) => place.position));
  const level = members.filter(({ place }) => place.position === lowest);
  let left = random * level.reduce((sum, { place }) => sum + place.weight, 0);
  for (const member of level) {
    left -= member.place.weight;
    if (left < 0) return member;
  }
  return level.at(-1);
}

export class Pool {
  /** May be replaced at any time; rows that are on their way go by what they find at each step. */
  members: readonly Member[];
  readonly #random: () => number;

  constructor(members: readonly Member[], random: () => number) {
    this.members = members;
    this.#random = random;
  }

  choose(address: DestinationAddress, { lane, asked, last }: Chooser): Choice {
    const able = this.members.filter(({ provider }) => provider.serves(address) && !asked.has(provider.name));
    if (able.length === 0) return undefined;
    const open = able.filter((member) => !member.closing);
    for (const member of open) member.seen(lane);
    const ready = open.filter((member) => member.waitMs(lane) === 0);
    const fresh = ready.filter(({ provider }) => !last.has(provider.name));
    const from = fresh.length > 0 ? fresh : ready;
    const prompt = from.filter((each) => !each.late(lane));
    const member = ofFirstPosition(prompt.length > 0 ? prompt : from, this.#random());
    if (member) return { member };
    // All that could take it drain: somebody means to bring another one.
    if (open.length === 0) return { waitMs: limits.providerPausedMs };
    return { waitMs: Math.min(...open.map((each) => each.waitMs(lane))) };
  }
}

/** Runs `work` holding a slot of each of `members`. */
export function withSlots<T>(members: readonly Member[], lane: Lane, work: () => Promise<T>): Promise<T> {
  const ordered = [...members].sort((a, b) => a.number - b.number);
  const take = (index: number): Promise<T> => {
    const member = ordered[index];
    return member ? member.slots[slotLane(lane)](() => take(index + 1)) : work();
  };
  return take(0);
}
