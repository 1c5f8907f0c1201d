// What all consumers of one process on the PostgreSQL log share: one lease renewal, one stream of commits, one ear for wake-ups.
import type { Clock, Timer } from '../runtime/clock.ts';
import type { Ids } from '../runtime/ids.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';
import type { SubscribeOptions, Subscription } from './event-log.ts';
import type { Appended } from './log-append.postgres.ts';
import { type ConsumerHost, LogConsumer } from './log-consumer.postgres.ts';
import { commit, type Finished, type Head, survey } from './log-leases.postgres.ts';
import { Wakeups } from './log-wakeups.postgres.ts';

export class LogReader implements ConsumerHost, AsyncDisposable {
  readonly db: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly #self: string;
  readonly #wakeups: Wakeups;
  readonly #consumers = new Set<LogConsumer>();
  readonly #pending = new Map<string, { consumer: LogConsumer; finished: Finished }>();
  /** Topics that other processes read: only for these is growth announced. */
  #foreign = new Set<string>();
  #members = 0;
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #ticker: Timer | undefined;
  #ticking: Promise<void> | undefined;
  #tickAgain = false;
  #commitTimer: Timer | undefined;
  #committing: Promise<void> | undefined;
  #closed = false;

  constructor({ db, clock, log, ids }: { db: Database; clock: Clock; log: Log; ids: Ids }) {
    this.db = db;
    this.clock = clock;
    this.log = log;
    this.#self = ids.uuid();
    const listener = {
      grown: (heads: readonly Head[]) => this.#grown(heads),
      changed: () => this.survey(false),
    };
    this.#wakeups = new Wakeups({ db, clock, log, self: this.#self, listener });
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    const consumer = new LogConsumer(this, `${this.#self}/${this.#members++}`, options);
    await this.#wakeups.listen();
    await consumer.join();
    this.#consumers.add(consumer);
    this.#ticker ??= this.clock.every(limits.logTickMs, () => this.survey(false));
    this.survey(true);
    let closing: Promise<void> | undefined;
    return {
      ready: () => consumer.ready(),
      [Symbol.asyncDispose]: () => {
        closing ??= this.#close(consumer);
        return closing;
      },
    };
  }

  async #close(consumer: LogConsumer): Promise<void> {
    await consumer.close();
    this.#consumers.delete(consumer);
    if (this.#consumers.size === 0) {
      this.#ticker?.[Symbol.dispose]();
      this.#ticker = undefined;
    }
    this.survey(true);
    await this.#wakeups.flush();
  }

  holds(): boolean {
    return this.clock.monotonic() < this.#leaseUntilMs;
  }

  /** To be called after the commit of an append. Never throws, never waits. */
  appended(chunks: readonly Appended[]): void {
    const foreign: Head[] = [];
    for (const chunk of chunks) {
      for (const consumer of this.#consumers)
        if (consumer.topics.includes(chunk.topic)) consumer.appended(chunk);
      // Without consumers of our own we do not know who else reads.
      if (this.#consumers.size > 0 && !this.#foreign.has(chunk.topic)) continue;
      const { topic, partition, first, records } = chunk;
      foreign.push({ topic, partition, next: first + BigInt(records.length) });
    }
    if (foreign.length > 0) this.#wakeups.announceGrowth(foreign);
  }

  #grown(heads: readonly Head[]): void {
    for (const head of heads) for (const consumer of this.#consumers) consumer.grown(head);
  }

  finished(consumer: LogConsumer, finished: Finished): void {
    this.#pending.set(`${consumer.member}/${finished.topic}/${finished.partition}`, { consumer, finished });
    this.#commitTimer ??= this.clock.after(limits.logCommitDelayMs, () => {
      this.#commitTimer = undefined;
      void this.#commit();
    });
  }

  /** One statement at a time for all that was finished meanwhile. */
  async #commit(): Promise<void> {
    if (this.#committing) return;
    this.#committing = this.#commitPending().finally(() => {
      this.#committing = undefined;
      if (this.#pending.size > 0 && !this.#closed)
        this.#commitTimer ??= this.clock.after(limits.logCommitDelayMs, () => {
          this.#commitTimer = undefined;
          void this.#commit();
        });
    });
    await this.#committing;
  }

  async #commitPending(): Promise<void> {
    const taken = new Map(this.#pending);
    this.#pending.clear();
    try {
      const held = await commit(
        this.db,
        [...taken.values()].map(({ finished }) => finished),
      );
      const names = new Set(held.map((each) => `${each.group} ${each.topic}/${each.partition}`));
      for (const { consumer, finished } of taken.values()) {
        const { group, topic, partition } = finished;
        if (!names.has(`${group} ${topic}/${partition}`)) consumer.lost(finished);
      }
    } catch (error) {
      this.log.warn({ err: error }, 'offsets of the log were not committed; trying again');
      for (const [key, each] of taken) if (!this.#pending.has(key)) this.#pending.set(key, each);
      await this.clock.sleep(limits.logReadRetryMs);
    }
  }

  survey(everywhere: boolean): void {
    if (everywhere) this.#wakeups.announceChange();
    if (this.#ticking) {
      this.#tickAgain = true;
      return;
    }
    if (this.#closed || this.#consumers.size === 0) return;
    this.#ticking = this.#tick().finally(() => {
      this.#ticking = undefined;
      if (!this.#tickAgain) return;
      this.#tickAgain = false;
      this.survey(false);
    });
  }

  async #tick(): Promise<void> {
    const consumers = [...this.#consumers];
    const startedMs = this.clock.monotonic();
    // A process that slept longer than its lease has lost everything, whatever the database says next.
    if (!this.holds()) for (const consumer of consumers) consumer.lapse();
    try {
      const found = await survey(
        this.db,
        consumers.map(({ member }) => member),
        [...new Set(consumers.flatMap(({ topics }) => topics))],
      );
      this.#leaseUntilMs = startedMs + limits.logLeaseMs;
      const others = found.members.filter(({ member }) => !member.startsWith(`${this.#self}/`));
      this.#foreign = new Set(others.flatMap(({ topics }) => topics));
      await Promise.all(consumers.map((consumer) => consumer.rebalance(found)));
      this.#grown(found.heads);
    } catch (error) {
      this.log.warn({ err: error }, 'the leases of the log were not renewed; trying again');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    await Promise.all([...this.#consumers].map((consumer) => this.#close(consumer)));
    this.#closed = true;
    this.#ticker?.[Symbol.dispose]();
    this.#commitTimer?.[Symbol.dispose]();
    await this.#ticking;
    await this.#committing;
    await this.#wakeups[Symbol.asyncDispose]();
  }
}
