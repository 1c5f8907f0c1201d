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

/** The cause says what the sentence for everybody leaves out. */
function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** Asks every `limits.readinessMs`, whoever looks; so a probe costs nothing and tells news at once to who watches. */
export class Readiness implements Disposable {
  readonly #checks: ReadonlyMap<string, Check>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onChange: (ready: boolean) => void;
  readonly #said = new Map<string, string>();
  #timer: Timer | undefined;
  #asking: Promise<void> | undefined;
  #draining = false;
  #ready = false;

  constructor(options: {
    checks: Readonly<Record<string, Check>>;
    clock: Clock;
    log: Log;
    onChange?: (ready: boolean) => void;
  }) {
    this.#checks = new Map(Object.entries(options.checks));
    this.#clock = options.clock;
    this.#log = options.log;
    this.#onChange = options.onChange ?? (() => {});
  }

  /** Resolves after the first answers. */
  async start(): Promise<void> {
    await this.ask();
    this.#timer ??= this.#clock.every(limits.readinessMs, () => void this.ask()).unref();
  }

  /** Asks now; several at once ask together. */
  ask(): Promise<void> {
    this.#asking ??= this.#askAll().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #askAll(): Promise<void> {
    await Promise.all(
      [...this.#checks].map(async ([name, check]) => this.#hear(name, await this.#answer(check))),
    );
    this.#settle();
  }

  async #answer(check: Check): Promise<string> {
    const given = new AbortController();
    const late = this.#clock
      .sleep(limits.readinessAnswerMs, given.signal)
      .then(() => `no answer within ${limits.readinessAnswerMs} ms`);
    const answer = check().then(() => 'ok', sentenceOf);
    const said = await Promise.race([answer, late]);
    given.abort();
    return said;
  }

  #hear(name: string, said: string): void {
    const before = this.#said.get(name);
    this.#said.set(name, said);
    if (said === before || (before === undefined && said === 'ok')) return;
    if (said === 'ok') this.#log.info({ check: name }, 'answers again');
    else this.#log.warn({ check: name, said }, 'does not answer as it should');
  }

  #settle(): void {
    const ready = this.report().ready;
    if (ready === this.#ready) return;
    this.#ready = ready;
    this.#onChange(ready);
  }

  /** From now on it is not ready, whatever the stores say. */
  drain(): void {
    this.#draining = true;
    this.#settle();
  }

  report(): ReadinessReport {
    const checks: Record<string, string> = Object.fromEntries(this.#said);
    if (this.#draining) checks.process = 'shutting down';
    const answered = this.#said.size === this.#checks.size;
    return { ready: answered && Object.values(checks).every((said) => said === 'ok'), checks };
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
