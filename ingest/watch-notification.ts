// WatchNotification: the status again at every change, until nothing can change; one poller looks for all who watch.
import type { HandlerContext } from '@connectrpc/connect';
import type { NotificationStatus, WatchNotificationRequest } from '../gen/carillon/v1/ingest_pb.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import { CarillonError } from '../runtime/errors.ts';
import { principalOf } from '../runtime/identity.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';
import { type Pulse, readPulses, readStatus } from '../storage/notifications.ts';
import type { IngestContext } from './service.ts';

/** Who watches one notification. The pulse is the newest one seen; `wake` lets the watcher look at it. */
export interface Watcher {
  readonly id: string;
  pulse: Pulse | undefined;
  gone: boolean;
  wake: () => void;
}

export interface WatchPollerOptions {
  database: Database;
  clock: Clock;
  log: Log;
}

/**
 * Looks at the pulses of all that are watched in one query, `limits.watchPollMs` after the last look, or later when a
 * look takes long: it never costs the store more than a tenth of one connection.
 */
export class WatchPoller implements Disposable {
  readonly #options: WatchPollerOptions;
  readonly #watchers = new Set<Watcher>();
  #timer: Timer | undefined;
  #looking = false;
  #disposed = false;

  constructor(options: WatchPollerOptions) {
    this.#options = options;
  }

  /** TOO_MANY_STREAMS over `limits.watchersCount`. Returns how to stop. */
  add(watcher: Watcher): Disposable {
    if (this.#watchers.size >= limits.watchersCount)
      throw new CarillonError('TOO_MANY_STREAMS', undefined, { retryAfterMs: limits.overloadedRetryMs });
    this.#watchers.add(watcher);
    this.#schedule(limits.watchPollMs);
    return {
      [Symbol.dispose]: () => {
        this.#watchers.delete(watcher);
        if (this.#watchers.size === 0) this.#cancel();
      },
    };
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#cancel();
  }

  #cancel(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #schedule(delayMs: number): void {
    if (this.#timer || this.#looking || this.#disposed || this.#watchers.size === 0) return;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = undefined;
      void this.#look();
    });
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const { database, clock, log } = this.#options;
    const startMs = clock.monotonic();
    this.#looking = true;
    const asked = [...this.#watchers];
    try {
      const pulses = await readPulses(database, [...new Set(asked.map(({ id }) => id))]);
      const byId = new Map(pulses.map((pulse) => [pulse.id, pulse]));
      for (const watcher of asked) {
        const pulse = byId.get(watcher.id);
        if (pulse && pulse.mark === watcher.pulse?.mark && pulse.settled === watcher.pulse.settled) continue;
        watcher.pulse = pulse;
        watcher.gone = pulse === undefined;
        watcher.wake();
      }
    } catch (error) {
      log.warn({ err: error }, 'watched notifications could not be looked at; tried again');
    } finally {
      this.#looking = false;
      const tookMs = clock.monotonic() - startMs;
      this.#schedule(Math.max(limits.watchPollMs, tookMs * limits.watchRestFactor));
    }
  }
}

function nextPulse(watcher: Watcher, seen: Pulse | undefined, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (watcher.pulse !== seen || watcher.gone || signal.aborted) return resolve();
    const done = () => {
      signal.removeEventListener('abort', done);
      watcher.wake = () => {};
      resolve();
    };
    watcher.wake = done;
    signal.addEventListener('abort', done, { once: true });
  });
}

/**
 * The first status comes at once. It ends when no delivery is due, and none lies unread-for in an inbox while the
 * notification has not expired; or with SHUTTING_DOWN when this process goes away.
 */
export async function* watchNotification(
  { database, poller }: IngestContext,
  { notificationId: id }: WatchNotificationRequest,
  call: HandlerContext,
): AsyncGenerator<{ status: NotificationStatus }> {
  const { tenant } = principalOf(call);
  const { signal } = call;
  const watcher: Watcher = { id, pulse: undefined, gone: false, wake: () => {} };
  using _watching = poller.add(watcher);
  // The pulse before the status: a change between the two is told twice rather than missed.
  let seen = (await readPulses(database, [id]))[0];
  watcher.pulse = seen;
  for (;;) {
    const { status } = await readStatus(database, tenant, id, { pageSize: limits.statusPageRows });
    signal.throwIfAborted();
    yield { status };
    if (seen?.settled) return;
    await nextPulse(watcher, seen, signal);
    signal.throwIfAborted();
    seen = watcher.pulse;
  }
}
