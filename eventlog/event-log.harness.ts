// What the suite of the event log needs: processes that can be killed, and places where records gather until a condition holds.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { FixtureLine, FixtureOptions } from './event-log.fixture.ts';
import type { Batch, EventLog, ReceivedRecord } from './event-log.ts';

export interface LogHarness extends AsyncDisposable {
  kind: FixtureOptions['kind'];
  url: string;
  /** Each is to the log as another process. */
  open(): EventLog;
}

/** Something that changes, and can be waited for. */
export class Waitable {
  readonly #waiting = new Set<() => void>();

  protected changed(): void {
    for (const check of [...this.#waiting]) check();
  }

  /** Resolves as soon as `condition` holds; the test's own time-out is the bound. */
  async until(condition: () => boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      const check = () => {
        if (!condition()) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}

export const textOf = (record: ReceivedRecord) => Buffer.from(record.value).toString();

/** Gathers what consumers are handed. */
export class Gathered extends Waitable {
  readonly records: { by: string; key: string; text: string }[] = [];

  handler(by: string) {
    return async ({ records }: Pick<Batch, 'records'>) => {
      this.add(
        by,
        records.map((record) => ({ key: record.key, text: textOf(record) })),
      );
    };
  }

  add(by: string, records: readonly { key: string; text: string }[]): void {
    this.records.push(...records.map((record) => ({ by, ...record })));
    this.changed();
  }

  /** Of one consumer, or of all. */
  count(by?: string): number {
    return by === undefined ? this.records.length : this.records.filter((each) => each.by === by).length;
  }

  /** Different records, however often each came. */
  distinct(): number {
    return new Set(this.records.map(({ key, text }) => `${key} ${text}`)).size;
  }

  /** The texts of a key in the order in which each was first seen. */
  firstSeen(key: string): string[] {
    return [...new Set(this.records.filter((each) => each.key === key).map(({ text }) => text))];
  }
}

/** A reader in a process of its own. */
export class ReaderProcess extends Waitable implements AsyncDisposable {
  readonly lines: FixtureLine[] = [];
  readonly #child: ChildProcess;
  readonly #gathered: Gathered;

  constructor(options: FixtureOptions, gathered: Gathered, by: string) {
    super();
    this.#gathered = gathered;
    const file = new URL('./event-log.fixture.ts', import.meta.url).pathname;
    this.#child = spawn(process.execPath, [file, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const { stdout } = this.#child;
    if (!stdout) throw new Error('the child has no output');
    createInterface({ input: stdout }).on('line', (text) => {
      const line = JSON.parse(text) as FixtureLine;
      this.lines.push(line);
      if (line.records) this.#gathered.add(by, line.records);
      this.changed();
    });
  }

  async saw(event: FixtureLine['event']): Promise<void> {
    await this.until(() => this.lines.some((line) => line.event === event));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
