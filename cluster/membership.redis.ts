// Membership in Redis: members under leases in one hash, a number for each change of it. A store that was away or has
// forgotten kills nobody: it is told what was known, and everybody has a full lease anew.
import { type Clock, systemClock, type Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Member, Membership, View } from './membership.ts';
import { MESH_KEY, MESH_SCRIPT, type MeshOperation } from './membership-script.redis.ts';
import { RedisConnection } from './redis.ts';
import { memberKey, Views, viewOf } from './views.ts';

export interface RedisMembershipOptions {
  url: string;
  prefix?: string;
  log: Log;
  clock?: Clock;
}

/** Which store it is (one that has forgotten is another), the number of its view, when the next lease ends, the members. */
type Answer = [born: string, number: string, nextMs: number, ...members: string[]];

export class RedisMembership implements Membership {
  readonly #redis: RedisConnection;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #views = new Views();
  readonly #announced = new Set<Member>();
  readonly #renewals: Timer;
  /** The store that has been told what we know. */
  #born = '';
  #nextLook: Timer | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;

  constructor({ url, prefix, log, clock = systemClock }: RedisMembershipOptions) {
    this.#clock = clock;
    this.#log = log;
    const silentMs = limits.membershipSilentMs;
    this.#redis = new RedisConnection({ url, log, clock, silentMs, ...(prefix !== undefined && { prefix }) });
    this.#redis.onReady(() => this.#renew());
    this.#redis.subscribe(MESH_KEY, () => this.#look());
    // Whatever became of the renewal before: waiting for it would cost the lease.
    this.#renewals = clock.every(limits.membershipRenewMs, () => this.#renew());
  }

  /** Resolves after the first attempt; while Redis is away the member is announced as soon as it is back. */
  async announce(member: Member): Promise<AsyncDisposable> {
    const own = { ...member };
    this.#announced.add(own);
    await this.#redis.settled();
    await this.#tried('renew', [own]);
    return {
      [Symbol.asyncDispose]: async () => {
        if (this.#announced.delete(own)) await this.#tried('withdraw', [own]);
      },
    };
  }

  view(): View {
    return this.#views.present;
  }

  async refresh(): Promise<View> {
    await this.#redis.settled();
    await this.#exchange('look', []);
    return this.#views.present;
  }

  watch(listener: (view: View) => void): () => void {
    return this.#views.watch(listener);
  }

  /** Keeps the leases of this process, and sees the present view by the way. */
  #renew(): void {
    if (!this.#closed) void this.#tried('renew', [...this.#announced]);
  }

  /** Many wake-ups at once are one look, and another one when more came meanwhile. */
  #look(): void {
    this.#nextLook?.[Symbol.dispose]();
    this.#nextLook = undefined;
    if (this.#closed) return;
    if (this.#looking) {
      this.#lookIn(limits.membershipLookMs);
      return;
    }
    this.#looking = this.#tried('look', []).finally(() => {
      this.#looking = undefined;
    });
  }

  #lookIn(ms: number): void {
    this.#nextLook?.[Symbol.dispose]();
    this.#nextLook = this.#clock.after(Math.max(ms, limits.membershipLookMs), () => this.#look());
  }

  async #tried(operation: MeshOperation, members: readonly Member[]): Promise<void> {
    try {
      await this.#exchange(operation, members);
    } catch (error) {
      this.#log.debug({ err: error, operation }, 'membership did not get through; trying again');
    }
  }

  async #exchange(operation: MeshOperation, members: readonly Member[]): Promise<void> {
    const answer = await this.#ask(operation, members);
    this.#take(
      // It is another store than the one we know: without what we knew its view would be of those who came first.
      answer[0] === this.#born ? answer : await this.#ask('restore', this.#views.present.members),
    );
  }

  #take([born, number, nextMs, ...members]: Answer): void {
    if (this.#closed) return;
    this.#born = born;
    if (BigInt(number) !== this.#views.present.number)
      this.#views.set(
        viewOf(
          BigInt(number),
          members.map((member) => JSON.parse(member) as Member),
        ),
      );
    // A death is seen when its lease ends, not when the next renewal happens to come.
    if (nextMs < limits.membershipRenewMs) this.#lookIn(nextMs);
  }

  #ask(operation: MeshOperation, members: readonly Member[]): Promise<Answer> {
    const said = members.flatMap((member) => [memberKey(member), member.incarnation, JSON.stringify(member)]);
    return this.#redis.run(
      async (client) =>
        (await client.eval(MESH_SCRIPT, {
          keys: [MESH_KEY],
          arguments: [
            `${limits.membershipLeaseMs}`,
            this.#born,
            `${this.#views.present.number}`,
            operation,
            ...said,
          ],
        })) as Answer,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#renewals[Symbol.dispose]();
    this.#nextLook?.[Symbol.dispose]();
    this.#views.clear();
    await this.#looking;
    await this.#redis[Symbol.asyncDispose]();
  }
}
