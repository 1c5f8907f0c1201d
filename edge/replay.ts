// Brings streams up to the store: pages for many of them in one query, few queries at once, turn by turn, in flat memory.
import type { Clock, Timer } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { InboxPage, PageRequest } from '../storage/inbox.ts';
import type { ItemCache } from './items.ts';
import type { Session } from './session.ts';

export type ReadPages = (requests: readonly PageRequest[], pageRows: number) => Promise<InboxPage[]>;

export interface ReplayOptions {
  readPages: ReadPages;
  items: ItemCache;
  clock: Clock;
  log: Log;
}

/**
 * Sessions wait in one line; each has its place once, so the line is as long as there are streams at most. A session
 * that is far behind goes back to the end of the line after each page.
 */
export class Replay implements Disposable {
  readonly #options: ReplayOptions;
  #line: Session[] = [];
  #running = 0;
  #scheduled = false;
  #failed = new Set<Session>();
  #retry: Timer | undefined;

  constructor(options: ReplayOptions) {
    this.#options = options;
  }

  /** Gives the session its place in the line. */
  request(session: Session): void {
    if (session.page !== 'none' || session.over) return;
    session.page = 'waiting';
    this.#line.push(session);
    this.#schedule();
  }

  /** What is asked for in one turn of the loop becomes one query. */
  #schedule(): void {
    if (this.#scheduled || this.#running >= limits.replayQueriesCount) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      while (this.#line.length > 0 && this.#running < limits.replayQueriesCount) {
        const batch = this.#line.splice(0, limits.replayQueryStreamsCount).filter((session) => !session.over);
        if (batch.length > 0) void this.#run(batch);
      }
    });
  }

  async #run(batch: Session[]): Promise<void> {
    this.#running++;
    try {
      await this.#read(batch);
    } catch (error) {
      this.#fail(batch, error);
    } finally {
      this.#running--;
      if (this.#line.length > 0) this.#schedule();
    }
  }

  async #read(batch: Session[]): Promise<void> {
    const readMs = this.#options.clock.now();
    const requests = batch.map((session) => {
      session.reading();
      return { tenant: session.user.tenant, userId: session.user.userId, after: session.sentThrough };
    });
    const pageRows = Math.max(
      1,
      Math.min(limits.replayPageRows, Math.floor(limits.replayQueryRows / batch.length)),
    );
    const pages = await this.#options.readPages(requests, pageRows);
    const ids = new Set<string>();
    for (const page of pages)
      for (const row of page.rows) if (row.at === row.firstSeq) ids.add(row.notificationId);
    const items = await this.#options.items.load(ids);
    for (const [index, session] of batch.entries()) session.apply(pages[index]!, items, readMs);
  }

  #fail(batch: Session[], error: unknown): void {
    this.#options.log.warn({ err: error, streams: batch.length }, 'a replay could not be read');
    const own =
      error instanceof CarillonError
        ? error
        : new CarillonError('INTERNAL', undefined, { cause: error, retryAfterMs: limits.replayRetryMs });
    for (const session of batch) {
      session.failed(own);
      if (!session.over) this.#failed.add(session);
    }
    this.#retry ??= this.#options.clock
      .after(limits.replayRetryMs, () => {
        this.#retry = undefined;
        const again = this.#failed;
        this.#failed = new Set();
        for (const session of again) session.catchUp();
      })
      .unref();
  }

  [Symbol.dispose](): void {
    this.#retry?.[Symbol.dispose]();
    this.#retry = undefined;
    this.#line = [];
    this.#failed.clear();
  }
}
