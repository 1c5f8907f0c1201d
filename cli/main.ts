#!/usr/bin/env node
// The process of the CLI: its signals and its end. A first Ctrl-C asks the command to end, a second one ends it at once.
import { systemClock } from '../runtime/clock.ts';
import { runCli } from './program.ts';
import { processTerminal } from './terminal.ts';

export async function main(): Promise<void> {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (abort.signal.aborted) process.exit(130);
      abort.abort();
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
