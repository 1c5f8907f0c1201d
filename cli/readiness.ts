// Whether this process can do its work: every store it needs answered a moment ago, and takes writes.
import type { Clock, Timer } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { Database } from '../storage/database.ts';

/** Rejects when the thing cannot be used now. */
export type Check = () => Promise<void>;

export interface ReadinessReport {
  ready: boolean;
  /** `ok`, or why not, by the name of what was asked. */
  checks: Record<string, string>;
}

export interface ReadinessOptions {
  checks: Readonly<Record<string, Check>>;
  /** Those without which this process cannot do its work; the others are told all the same. */
  needed: readonly string[];
  clock: Clock;
  log: Log;
  /** An answer is another one than before. */
  onNews?: () => void;
}

/** The cause says what the sentence for everybody leaves out. */
function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** `ok`, or why not. */
const OK = 'ok';

/** Asks every `limits.readinessMs`, whoever looks; so a probe costs nothing and tells news at once to who watches. */
export class Readiness implements Disposable {
  readonly #options: ReadinessOptions;
  readonly #said = new Map<string, string>();
  #timer: Timer | undefined;
  #asking: Promise<void> | undefined;
  #draining = false;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** Resolves after the first answers. */
  async start(): Promise<void> {
    await this.ask();
    this.#timer ??= this.#options.clock.every(limits.readinessMs, () => void this.ask()).unref();
  }

  /** Asks now; several at once ask together. */
  ask(): Promise<void> {
    this.#asking ??= this.#askAll().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #askAll(): Promise<void> {
    const { checks, onNews } = this.#options;
    const heard = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => this.#hear(name, await this.#answer(check))),
    );
    if (heard.includes(true)) onNews?.();
  }

  async #answer(check: Check): Promise<string> {
    const { clock } = this.#options;
    const given = new AbortController();
    const late = clock
      .sleep(limits.readinessAnswerMs, given.signal)
      .then(() => `no answer within ${limits.readinessAnswerMs} ms`);
    const said = await Promise.race([check().then(() => OK, sentenceOf), late]);
    given.abort();
    return said;
  }

  /** Whether that is news. */
  #hear(name: string, said: string): boolean {
    const { log } = this.#options;
    const before = this.#said.get(name);
    this.#said.set(name, said);
    if (said === before) return false;
    if (said !== OK) log.warn({ check: name, said }, 'does not answer as it should');
    else if (before !== undefined) log.info({ check: name }, 'answers again');
    return true;
  }

  /** Whether all of these answered, and no drain has begun. */
  answers(...names: readonly string[]): boolean {
    return !this.#draining && names.every((name) => this.#said.get(name) === OK);
  }

  /** From now on nothing is ready, whatever the stores say. */
  drain(): void {
    this.#draining = true;
    this.#options.onNews?.();
  }

  report(): ReadinessReport {
    const checks: Record<string, string> = Object.fromEntries(this.#said);
    if (this.#draining) checks.process = 'shutting down';
    return { ready: this.answers(...this.#options.needed), checks };
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}

/**
 * Asks the database for what accepting needs: it answers, it is not a standby, and its disk takes another half
 * megabyte (a sort that does not fit its memory; it leaves nothing behind). About 5 ms.
 */
export function databaseCheck(db: Database): Check {
  return () =>
    db.transaction(async (tx) => {
      const { rows } = await tx.query<{ standby: boolean; readonly: string }>({
        text: `select pg_is_in_recovery() as standby, current_setting('transaction_read_only') as readonly`,
      });
      if (rows[0]?.standby || rows[0]?.readonly === 'on') throw new Error('the database is read-only');
      await tx.query({ text: `set local work_mem = '64kB'` });
      await tx.query({
        text: `select count(*) from (select g || repeat('x', 100) as t from generate_series(1, 5000) g order by t offset 0) s`,
      });
    });
}
