// Where the processors' time goes: what each process used while it was looked at, by name. Linux only; elsewhere it knows nothing.
import { readFile } from 'node:fs/promises';
import { systemClock, type Timer } from '../../runtime/clock.ts';

const LOOK_MS = 2_000;
/** Of a clock tick, which the kernel counts in hundredths of a second on every architecture that Node runs on. */
const TICK_MS = 10;

const read = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined);

async function usedMs(pid: number): Promise<number | undefined> {
  const stat = await read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command may hold spaces and brackets: after its last bracket the state is the first field, utime and stime the 12th and 13th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

async function familyOf(pid: number): Promise<number[]> {
  const children = await read(`/proc/${pid}/task/${pid}/children`);
  return [pid, ...(children?.trim().split(' ').filter(Boolean).map(Number) ?? [])];
}

/** Milliseconds since the machine started in which some process waited for a processor; undefined where nobody counts. */
async function waitedMs(): Promise<number | undefined> {
  const total = /^some .*total=(\d+)/m.exec((await read('/proc/pressure/cpu')) ?? '')?.[1];
  return total === undefined ? undefined : Number(total) / 1_000;
}

export interface Watched {
  name: string;
  pid: number;
  /** Its children count too: they are where PostgreSQL does its work. */
  family?: boolean;
}

export class CpuWatch implements Disposable {
  readonly #who: () => Promise<readonly Watched[]>;
  readonly #timer: Timer;
  readonly #startedMs = systemClock.monotonic();
  readonly #waited = waitedMs();
  readonly #last = new Map<number, number>();
  readonly #spent = new Map<string, number>();

  /** `who`: the processes to look at, which may be others each time. */
  constructor(who: () => Promise<readonly Watched[]>) {
    this.#who = who;
    void this.#look();
    this.#timer = systemClock.every(LOOK_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    for (const { name, pid: parent, family } of await this.#who()) {
      for (const pid of family ? await familyOf(parent) : [parent]) {
        const used = await usedMs(pid);
        if (used === undefined) continue;
        this.#spent.set(name, (this.#spent.get(name) ?? 0) + used - (this.#last.get(pid) ?? used));
        this.#last.set(pid, used);
      }
    }
  }

  /** The part of the time in which somebody on this machine waited for a processor, 0 to 1; ours or not. */
  async pressure(): Promise<number | undefined> {
    const [before, now] = [await this.#waited, await waitedMs()];
    if (before === undefined || now === undefined) return undefined;
    return (now - before) / (systemClock.monotonic() - this.#startedMs);
  }

  /** Cores that each has used on average since the beginning, the most first. */
  async cores(): Promise<[name: string, cores: number][]> {
    await this.#look();
    const elapsedMs = systemClock.monotonic() - this.#startedMs;
    return [...this.#spent]
      .map(([name, ms]): [string, number] => [name, ms / elapsedMs])
      .sort(([, a], [, b]) => b - a);
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }
}
