// What one edge says of its users in Redis: sent together each tick, never undone by something older, said again when lost.
import { Activity } from '../gen/carillon/v1/edge_pb.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Attention, UserKey } from './presence.ts';
import { PRESENCE_KEY, RENEW, userKey, WITHDRAW, WRITE } from './presence-script.redis.ts';
import type { RedisConnection } from './redis.ts';

interface Said {
  generation: number;
  /** Foreground, background, vanished, closed; as presence-script.redis.ts has it. */
  state: 'f' | 'b' | 'v' | 'c';
}

export interface PresenceWriterOptions {
  redis: RedisConnection;
  edge: string;
  /** Of this process, rising: what an earlier one of the same edge said no longer holds. */
  incarnation: string;
  clock: Clock;
  log: Log;
}

export class PresenceWriter implements AsyncDisposable {
  readonly #options: PresenceWriterOptions;
  /** The users of this edge; as many as it has streams. */
  readonly #present = new Map<string, Said>();
  readonly #pending = new Map<string, Said>();
  #generation = 0;
  #timer: Timer | undefined;
  #flushing: Promise<void> | undefined;
  #renewing: Promise<void> | undefined;
  /** Of the store that is being told; undefined when it must be told everything anew. */
  #epoch: string | undefined;
  /** In which it has been told everything. */
  #said = '';
  /** Goes round the present users for ever, a few with each renewal. */
  #round: Iterator<string> | undefined;
  /** Goes over all present users once, because the store has lost them. */
  #anew: Iterator<string> | undefined;
  #closed = false;

  constructor(options: PresenceWriterOptions) {
    this.#options = options;
    void this.renew();
  }

  /** Never waits, never throws. */
  enter(user: UserKey, attention: Attention): void {
    const key = userKey(user);
    const state = attention === Activity.FOREGROUND ? 'f' : 'b';
    const said: Said = { generation: ++this.#generation, state };
    this.#present.set(key, said);
    this.#add(key, said);
  }

  /** Never waits, never throws. Who did not enter here has nothing to leave. */
  leave(user: UserKey, closed: boolean): void {
    const key = userKey(user);
    if (this.#present.delete(key))
      this.#add(key, { generation: ++this.#generation, state: closed ? 'c' : 'v' });
  }

  /** Everything has been said, and the store has not lost it since, as far as this edge knows. */
  get toldAll(): boolean {
    return this.#said !== '' && this.#said === this.#epoch && this.#pending.size === 0;
  }

  #add(key: string, said: Said): void {
    if (this.#pending.size >= limits.presencePendingCount && !this.#pending.has(key)) {
      // Too much to remember: those who are here are written anew, those who left are found out by asking this edge.
      this.#lose();
      return;
    }
    this.#pending.set(key, said);
    if (!this.#closed) this.#schedule();
  }

  /** What the store has of us is not known: until all of it has been said again we do not say that it has. */
  #lose(): void {
    this.#epoch = undefined;
    this.#said = '';
  }

  #schedule(): void {
    if (this.#flushing || !this.#epoch) return;
    this.#timer ??= this.#options.clock.after(limits.presenceTickMs, () => {
      this.#timer = undefined;
      const said = this.#said;
      this.#flushing = this.#flush().finally(() => {
        this.#flushing = undefined;
        // That all has been said, or must be said again, is told at once.
        if (this.#said !== said || !this.#epoch) void this.renew();
      });
    });
  }

  async #flush(): Promise<void> {
    try {
      for (let batch = this.#nextBatch(); batch.length > 0; batch = this.#nextBatch()) {
        if (!(await this.#write(batch))) {
          this.#lose();
          return;
        }
        for (const [key, said] of batch) if (this.#pending.get(key) === said) this.#pending.delete(key);
      }
      this.#said = this.#epoch ?? '';
    } catch (error) {
      // The next renewal that gets through has all of it said again.
      this.#lose();
      this.#options.log.debug({ err: error }, 'presence was not written; trying again');
    }
  }

  /** Changes first; then those who are written anew. */
  #nextBatch(): [string, Said][] {
    const batch = [...this.#pending.entries().take(limits.presenceBatchCount)];
    while (this.#anew && batch.length < limits.presenceBatchCount) {
      const { value: key, done } = this.#anew.next();
      if (done) {
        this.#anew = undefined;
        break;
      }
      const said = this.#present.get(key);
      if (said && !this.#pending.has(key)) batch.push([key, said]);
    }
    return batch;
  }

  /** False when another incarnation has this edge's lease, or nobody. */
  async #write(batch: readonly (readonly [string, Said])[]): Promise<boolean> {
    const { redis, edge, incarnation } = this.#options;
    const written = await redis.run(
      (client) =>
        client.eval(WRITE, {
          keys: [PRESENCE_KEY, ...batch.map(([key]) => key)],
          arguments: [
            edge,
            incarnation,
            `${limits.presenceKeptMs}`,
            `${limits.lingerMaxMs}`,
            ...batch.flatMap(([, { generation, state }]) => [`${generation}`, state]),
          ],
        }),
      limits.presenceWriteMs,
    );
    return written === 1;
  }

  /** Keeps the lease, notices a Redis that has forgotten, and writes a part of the present users again. Never rejects. */
  async renew(): Promise<void> {
    if (this.#closed) return;
    this.#renewing ??= this.#renew()
      .catch((error: unknown) => {
        this.#lose();
        this.#options.log.debug({ err: error }, 'the lease of presence was not renewed; trying again');
      })
      .finally(() => {
        this.#renewing = undefined;
      });
    await this.#renewing;
  }

  /** The connection is another one: what was said on the last one may not have arrived. */
  async again(): Promise<void> {
    this.#lose();
    await this.renew();
  }

  async #renew(): Promise<void> {
    const { redis, edge, incarnation } = this.#options;
    const [epoch, holds] = (await redis.run(
      (client) =>
        client.eval(RENEW, {
          keys: [PRESENCE_KEY],
          arguments: [edge, incarnation, this.#said, `${limits.presenceLeaseMs}`, `${limits.lingerMaxMs}`],
        }),
      limits.presenceWriteMs,
    )) as [epoch: string, holds: number];
    if (holds === 0) this.#lose();
    else if (epoch === this.#epoch) this.#refreshSome();
    else {
      this.#epoch = epoch;
      this.#said = '';
      this.#anew = this.#present.keys();
    }
    if (this.#pending.size > 0 || this.#anew) this.#schedule();
  }

  /** So many that all have been written again within half the time that entries are kept. */
  #refreshSome(): void {
    const rounds = limits.presenceKeptMs / 2 / limits.presenceRenewMs;
    for (let left = Math.ceil(this.#present.size / rounds); left > 0; left--) {
      this.#round ??= this.#present.keys();
      const { value: key, done } = this.#round.next();
      if (done) {
        this.#round = undefined;
        return;
      }
      const said = this.#present.get(key);
      if (said && !this.#pending.has(key)) this.#add(key, said);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#renewing;
    await this.#flushing;
    await this.#flush();
    const { redis, edge, incarnation } = this.#options;
    await redis
      .run((client) => client.eval(WITHDRAW, { keys: [PRESENCE_KEY], arguments: [edge, incarnation] }))
      .catch(() => {});
  }
}
