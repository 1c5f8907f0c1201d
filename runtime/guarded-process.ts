// Runs a program that dies with us even when we are killed, and that a Ctrl-C meant for us does not reach.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface GuardedProcess {
  /** Of the program itself, not of the shell that guards it. */
  readonly pid: number;
  /** Resolves when the program, and all it started, have closed their output; with its last lines. */
  readonly exited: Promise<readonly string[]>;
  /** From now on it does not keep our event loop going. */
  release(): void;
  /** Asks it to end by its stop signal, and resolves when it is gone. Any number of times. */
  stop(): Promise<void>;
  /** Sends a signal to the program; nothing when it is gone. */
  signal(name: NodeJS.Signals): void;
}

export interface GuardedOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Record<string, string | undefined>;
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
  /** What asks the program to end: `INT` is PostgreSQL's fast shutdown. */
  readonly stopSignal: 'INT' | 'TERM';
  /** Gets each line of its output. */
  readonly onLine?: (line: string) => void;
}

/** How many of its last lines are kept, to explain an end that nobody asked for. */
const KEPT_LINES = 40;

// `read` ends when the other end of its pipe closes: by stop(), or by the kernel when we die of whatever.
// The shell ignores the terminal's signals; the program gets TERM and HUP back, for a JVM leaves alone what it finds ignored.
// $0 is the name of the stop signal. It is sent every second until the program is gone: one that has only just been started
// has no handlers yet, and a shell starts background programs with INT ignored, so that a single signal was seen to get lost.
const GUARD = `trap "" INT TERM HUP
( trap - TERM HUP; exec "$@" ) </dev/null >&2 &
p=$!
echo $p
exec >/dev/null 2>&1
read -r _
( while kill -$0 $p; do sleep 1; done ) & k=$!
wait $p
kill -KILL $k`;

function hold(child: ChildProcess, ref: boolean): void {
  const handles = [child, child.stdin, child.stdout, child.stderr] as (ChildProcess | Socket | null)[];
  for (const handle of handles) ref ? handle?.ref() : handle?.unref();
}

/** Starts the program; rejects when the shell cannot be started at all. A program that cannot be executed just exits. */
export async function spawnGuarded(options: GuardedOptions): Promise<GuardedProcess> {
  const child = spawn('/bin/sh', ['-c', GUARD, options.stopSignal, options.command, ...options.args], {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.account && { uid: options.account.uid, gid: options.account.gid }),
  });
  // The pipe breaks when somebody kills the shell; that shows as an exit, not as an error of ours.
  child.stdin.on('error', () => undefined);
  const kept: string[] = [];
  const lines = createInterface({ input: child.stderr, crlfDelay: Number.POSITIVE_INFINITY });
  lines.on('line', (line) => {
    kept.push(line);
    if (kept.length > KEPT_LINES) kept.shift();
    options.onLine?.(line);
  });
  // The program has ended, and the shell still reads: let it go.
  child.stderr.on('end', () => child.stdin.end());
  await once(child, 'spawn');
  let open = true;
  const exited = new Promise<readonly string[]>((resolve) => {
    child.once('close', () => {
      open = false;
      resolve(kept);
    });
  });
  let said = '';
  for await (const chunk of child.stdout) said += chunk;
  const pid = Number(said);
  return {
    pid,
    exited,
    release() {
      hold(child, false);
    },
    async stop() {
      if (open) hold(child, true);
      child.stdin.end();
      await exited;
    },
    signal(name) {
      if (!open) return;
      try {
        process.kill(pid, name);
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
      }
    },
  };
}
