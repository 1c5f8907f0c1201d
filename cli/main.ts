#!/usr/bin/env node
// The process of the CLI: its signals and its end. A first Ctrl-C asks the command to end, a second one ends it at once.
import { systemClock } from '../runtime/clock.ts';
import { limits } from '../runtime/limits.ts';
import { runCli } from './program.ts';
import { processTerminal } from './terminal.ts';

export async function main(): Promise<void> {
  const abort = new AbortController();
  let askedMs = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (!abort.signal.aborted) {
        askedMs = systemClock.monotonic();
        abort.abort();
      } else if (systemClock.monotonic() - askedMs > limits.sameSignalMs) process.exit(130);
    });
  const code = await runCli(process.argv.slice(2), {
    terminal: processTerminal(),
    environment: process.env,
    directory: process.cwd(),
    signal: abort.signal,
    clock: systemClock,
  });
  // A connection that is kept for later must not keep the process.
  process.exit(code);
}

if (import.meta.main) await main();
