// One role of the mesh as a process of its own, on fixed ports, that can be killed or frozen at any moment and started again.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { systemClock } from '../../runtime/clock.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const READY_WITHIN_MS = 60_000;
/** A drain may take 30 s; whatever is still there a little later is ended by force. */
const GONE_WITHIN_MS = 45_000;

// A shell that is told who runs, and kills them when we are gone, however we went. Each line replaces the one before:
// a pid that is no longer ours may be somebody else's.
const REAP = 'trap "" INT TERM HUP; while read -r l; do pids=$l; done; [ -z "$pids" ] || kill -9 $pids';

class Reaper {
  readonly #pids = new Set<number>();
  #input: Writable | undefined;

  add(pid: number): void {
    this.#pids.add(pid);
    this.#tell();
  }

  remove(pid: number): void {
    this.#pids.delete(pid);
    this.#tell();
  }

  #tell(): void {
    if (!this.#input) {
      const shell = spawn('/bin/sh', ['-c', REAP], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
      shell.unref();
      this.#input = shell.stdin.on('error', () => undefined);
      if ('unref' in shell.stdin && typeof shell.stdin.unref === 'function') shell.stdin.unref();
    }
    this.#input.write(`${[...this.#pids].join(' ')}\n`);
  }
}

const reaper = new Reaper();

export interface Leave {
  /** Null when it had to be ended by force, or by a signal. */
  code: number | null;
  ms: number;
}

export class RoleProcess {
  readonly name: string;
  readonly logFile: string;
  readonly #args: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcess | undefined;
  #addresses: Record<string, string> = {};

  constructor(name: string, args: readonly string[], env: NodeJS.ProcessEnv, logFile: string) {
    this.name = name;
    this.logFile = logFile;
    this.#args = args;
    this.#env = env;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What the first line said: `{"ingest": "http://…", …}`. */
  get addresses(): Record<string, string> {
    return this.#addresses;
  }

  /** Resolves once the process has printed its addresses; rejects when it ends before, or takes too long. */
  async start(): Promise<void> {
    const log = openSync(this.logFile, 'a');
    const child = spawn(process.execPath, [MAIN, ...this.#args, '--json'], {
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'pipe', log],
    });
    closeSync(log);
    this.#child = child;
    const { pid } = child;
    if (pid !== undefined) {
      reaper.add(pid);
      child.once('exit', () => reaper.remove(pid));
    }
    this.#addresses = await this.#ready(child);
    child.stdout?.resume();
  }

  async #ready(child: ChildProcess): Promise<Record<string, string>> {
    const { promise, resolve, reject } = Promise.withResolvers<Record<string, string>>();
    using _late = systemClock.after(READY_WITHIN_MS, () =>
      reject(new Error(`${this.name} was not ready in ${READY_WITHIN_MS} ms; see ${this.logFile}`)),
    );
    const onExit = (code: number | null, signal: NodeJS.Signals | null) =>
      reject(new Error(`${this.name} ended (${code ?? signal}) before it was ready; see ${this.logFile}`));
    let text = '';
    const onData = (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(JSON.parse(text.slice(0, end)).addresses);
    };
    child.stdout?.setEncoding('utf8').on('data', onData);
    child.once('error', reject).once('exit', onExit);
    try {
      return await promise;
    } finally {
      child.off('error', reject).off('exit', onExit);
      child.stdout?.off('data', onData);
    }
  }

  /** Ends the process with the signal and waits until it is gone. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const gone = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill(signal);
    // One that is frozen would never hear of it.
    child.kill('SIGCONT');
    using _late = systemClock.after(GONE_WITHIN_MS, () => child.kill('SIGKILL'));
    return await gone;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** SIGTERM: it drains and goes by itself. */
  async leave(): Promise<Leave> {
    const startedMs = systemClock.monotonic();
    const code = await this.end('SIGTERM');
    return { code, ms: Math.round(systemClock.monotonic() - startedMs) };
  }

  /** SIGSTOP: it stands still with all its connections open. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  /** SIGCONT. */
  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Whether it ended by itself. */
  get died(): boolean {
    return this.#child !== undefined && (this.#child.exitCode !== null || this.#child.signalCode !== null);
  }
}
