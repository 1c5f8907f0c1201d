// One role of the mesh as a process of its own, on fixed ports, that can be killed at any moment and started again.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '../../runtime/clock.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const READY_WITHIN_MS = 60_000;

/** Ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  return Promise.all(
    servers.map((server) => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      return new Promise<number>((resolve) => server.close(() => resolve(port)));
    }),
  );
}

export class RoleProcess {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #logFile: string;
  #child: ChildProcess | undefined;
  #addresses: Record<string, string> = {};
  kills = 0;

  constructor(name: string, args: readonly string[], env: NodeJS.ProcessEnv, logFile: string) {
    this.name = name;
    this.#args = args;
    this.#env = env;
    this.#logFile = logFile;
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
    const log = openSync(this.#logFile, 'a');
    const child = spawn(process.execPath, [MAIN, ...this.#args, '--json'], {
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'pipe', log],
    });
    closeSync(log);
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      const late = systemClock.after(READY_WITHIN_MS, () =>
        reject(new Error(`${this.name} was not ready in ${READY_WITHIN_MS} ms`)),
      );
      const finish = (act: () => void) => {
        late[Symbol.dispose]();
        act();
      };
      let text = '';
      child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        const end = text.indexOf('\n');
        if (end < 0) return;
        child.stdout?.removeAllListeners('data');
        this.#addresses = JSON.parse(text.slice(0, end)).addresses;
        finish(resolve);
      });
      child.once('error', (error) => finish(() => reject(error)));
      child.once('exit', (code, signal) =>
        finish(() =>
          reject(
            new Error(`${this.name} ended (${code ?? signal}) before it was ready; see ${this.#logFile}`),
          ),
        ),
      );
    });
    child.removeAllListeners('exit');
    child.stdout?.resume();
  }

  /** Ends the process with the signal and waits until it is gone. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const gone = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    child.kill(signal);
    return gone;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.kills++;
    await this.end('SIGKILL');
  }

  /** Whether it ended by itself. */
  get died(): boolean {
    return this.#child !== undefined && (this.#child.exitCode !== null || this.#child.signalCode !== null);
  }
}
