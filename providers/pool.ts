// The providers of one channel in their order: which one takes an address now, and a slot to call it, per lane.
import pLimit, { type LimitFunction } from 'p-limit';
import type { BreakerState } from '../gen/carillon/v1/admin_pb.ts';
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { DestinationAddress } from '../storage/addresses.ts';
import { Breaker } from './breaker.ts';
import type { Provider } from './provider.ts';

export interface PoolMember {
  readonly provider: Provider;
  readonly breaker: Breaker;
  /** Calls at once, a limit of its own for each lane: the other lanes cannot use it up. */
  readonly slots: Readonly<Record<'critical' | 'normal' | 'bulk', LimitFunction>>;
}

export interface PoolOptions {
  clock: Clock;
  onBreaker: (provider: Provider, state: BreakerState) => void;
  breaker?: { failures?: number; openMs?: number };
}

export function slotLane(lane: Lane): 'critical' | 'normal' | 'bulk' {
  if (lane === Lane.CRITICAL) return 'critical';
  return lane === Lane.BULK ? 'bulk' : 'normal';
}

/** Which provider takes an address: one of them now, none before `waitMs`, or none at all (`undefined`). */
export type Choice = { member: PoolMember } | { waitMs: number } | undefined;

export class Pool {
  readonly members: readonly PoolMember[];

  /** `providers`: of one channel, the preferred one first. */
  constructor(providers: readonly Provider[], { clock, onBreaker, breaker }: PoolOptions) {
    this.members = providers.map((provider) => ({
      provider,
      breaker: new Breaker({ clock, ...breaker, onChange: (state) => onBreaker(provider, state) }),
      slots: {
        critical: pLimit(limits.providerCallsCount.critical),
        normal: pLimit(limits.providerCallsCount.normal),
        bulk: pLimit(limits.providerCallsCount.bulk),
      },
    }));
  }

  /**
   * `asked`: providers that had their turn in this try. `last`: providers that may have sent it already; they are taken
   * when there is no other.
   */
  choose(
    address: DestinationAddress,
    { asked, last }: { asked: ReadonlySet<string>; last: ReadonlySet<string> },
  ): Choice {
    const able = this.members.filter(({ provider }) => provider.serves(address) && !asked.has(provider.name));
    const ready = able.filter(({ breaker }) => breaker.waitMs() === 0);
    const member = ready.find(({ provider }) => !last.has(provider.name)) ?? ready[0];
    if (member) return { member };
    if (able.length === 0) return undefined;
    return { waitMs: Math.min(...able.map(({ breaker }) => breaker.waitMs())) };
  }

  /** Runs `work` holding a slot of each of `members`; taken in one order by everybody, so that nobody waits in a circle. */
  withSlots<T>(members: readonly PoolMember[], lane: Lane, work: () => Promise<T>): Promise<T> {
    const ordered = this.members.filter((member) => members.includes(member));
    const take = (index: number): Promise<T> => {
      const member = ordered[index];
      return member ? member.slots[slotLane(lane)](() => take(index + 1)) : work();
    };
    return take(0);
  }
}
