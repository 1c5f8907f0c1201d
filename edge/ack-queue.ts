// Acks of many clients become few statements: what waits while two are under way goes together into the next one.
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { AckRange, Reported } from '../storage/acks.ts';

export type Acknowledge = (ranges: readonly AckRange[]) => Promise<Reported[]>;

interface Ticket {
  ranges: readonly AckRange[];
  positions: number;
  resolve(reported: Reported[]): void;
  reject(error: unknown): void;
}

const covers = ({ ranges }: Ticket, seq: number): boolean =>
  ranges.some(({ after, upto }) => seq > after && seq <= upto);

export class AckQueue {
  readonly #acknowledge: Acknowledge;
  readonly #line: Ticket[] = [];
  #running = 0;
  #scheduled = false;

  constructor(acknowledge: Acknowledge) {
    this.#acknowledge = acknowledge;
  }

  /**
   * Resolves after the commit with what these ranges of one user acknowledged for the first time; OVERLOADED when
   * `limits.ackWaitingCount` wait already. A range covers at most `limits.ackSliceCount` positions.
   */
  add(ranges: readonly AckRange[]): Promise<Reported[]> {
    if (this.#line.length >= limits.ackWaitingCount)
      return Promise.reject(new CarillonError('OVERLOADED', undefined, { retryAfterMs: 1_000 }));
    const positions = ranges.reduce((sum, { after, upto }) => sum + upto - after, 0);
    return new Promise((resolve, reject) => {
      this.#line.push({ ranges, positions, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#running >= limits.ackBatchesCount) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      while (this.#line.length > 0 && this.#running < limits.ackBatchesCount) void this.#run(this.#next());
    });
  }

  /** As many as one statement takes, by ranges and by positions; at least one. */
  #next(): Ticket[] {
    let count = 0;
    let ranges = 0;
    let positions = 0;
    for (const ticket of this.#line) {
      ranges += ticket.ranges.length;
      positions += ticket.positions;
      if (count > 0 && (ranges > limits.ackBatchCount || positions > limits.ackBatchPositionsCount)) break;
      count++;
    }
    return this.#line.splice(0, count);
  }

  async #run(batch: readonly Ticket[]): Promise<void> {
    this.#running++;
    try {
      const reported = await this.#acknowledge(batch.flatMap(({ ranges }) => ranges));
      share(batch, reported);
    } catch (error) {
      for (const ticket of batch) ticket.reject(error);
    } finally {
      this.#running--;
      if (this.#line.length > 0) this.#schedule();
    }
  }
}

const keyOf = (user: { tenant: string; userId: string }): string => `${user.tenant}\0${user.userId}`;

/** Two devices may acknowledge the same item at once: it is the first one's. */
function share(batch: readonly Ticket[], reported: readonly Reported[]): void {
  const byUser = new Map<string, { ticket: Ticket; own: Reported[] }[]>();
  const shares = batch.map((ticket) => ({ ticket, own: [] as Reported[] }));
  for (const entry of shares) {
    const first = entry.ticket.ranges[0];
    if (!first) continue;
    const key = keyOf(first);
    const known = byUser.get(key);
    if (known) known.push(entry);
    else byUser.set(key, [entry]);
  }
  for (const one of reported)
    byUser
      .get(keyOf(one))
      ?.find(({ ticket }) => covers(ticket, one.seq))
      ?.own.push(one);
  for (const { ticket, own } of shares) ticket.resolve(own);
}
