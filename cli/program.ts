// All commands in one program, and how each ends: 0, 1 with a sentence and a reason, 2 when it was not understood.
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import type { CarillonError } from '../runtime/errors.ts';
import { carillonError } from '../runtime/wire-errors.ts';
import type { Cli } from './cli.ts';
import { cancelCommand } from './commands/cancel.ts';
import { categoriesCommand } from './commands/categories.ts';
import { configCommand } from './commands/config.ts';
import { devicesCommand } from './commands/devices.ts';
import { dlqCommand } from './commands/dlq.ts';
import { doctorCommand } from './commands/doctor.ts';
import { edgesCommand } from './commands/edges.ts';
import { inboxCommand } from './commands/inbox.ts';
import { keysCommand } from './commands/keys.ts';
import { listenCommand } from './commands/listen.ts';
import { migrateCommand } from './commands/migrate.ts';
import { locateCommand, presenceCommand } from './commands/presence.ts';
import { providersCommand } from './commands/providers.ts';
import { sandboxCommand } from './commands/sandbox.ts';
import { sendCommand } from './commands/send.ts';
import { serveCommand } from './commands/serve.ts';
import { statusCommand } from './commands/status.ts';
import { tokensCommand } from './commands/tokens.ts';
import { upCommand } from './commands/up.ts';
import { usersCommand } from './commands/users.ts';
import { whyCommand } from './commands/why.ts';
import { oneLine } from './terminal.ts';

const INTERRUPTED = 130;

export const version: string = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
).version;

export function createProgram(cli: Cli): Command {
  const program = new Command('carillon')
    .description('A delivery mesh for notifications: every recipient reached once, on the best channel.')
    .version(version)
    .addHelpText(
      'after',
      '\nExample:\n  $ carillon up\n  $ carillon listen --user ada\n  $ carillon send --to ada --title "Hello"\n\nSettings: docs/configuration.md. Every command says more with --help.',
    );
  const commands = [
    upCommand,
    serveCommand,
    sendCommand,
    listenCommand,
    statusCommand,
    whyCommand,
    cancelCommand,
    inboxCommand,
    usersCommand,
    tokensCommand,
    keysCommand,
    devicesCommand,
    categoriesCommand,
    providersCommand,
    sandboxCommand,
    dlqCommand,
    edgesCommand,
    presenceCommand,
    locateCommand,
    configCommand,
    migrateCommand,
    doctorCommand,
  ];
  for (const make of commands) program.addCommand(make(cli));
  return prepare(program, cli);
}

/** Commander writes where we write, and leaves the end of the process to us; so for every command below it. */
function prepare(program: Command, cli: Cli): Command {
  program.exitOverride().configureOutput({
    writeOut: (text) => cli.terminal.out(text),
    writeErr: (text) => cli.terminal.err(text),
    outputError: (text, write) => {
      const sentence = oneLine(text.trim())
        .replace(/^error: /, '')
        .replace(/\.?$/, '.');
      write(`carillon: ${sentence[0]?.toUpperCase() ?? ''}${sentence.slice(1)} (USAGE)\n`);
    },
  });
  for (const each of program.commands) prepare(each, cli);
  return program;
}

/** One sentence with its reason, and what is wrong field by field when the sentence does not say it. */
function report(cli: Cli, error: CarillonError): void {
  cli.terminal.err(`carillon: ${oneLine(error.message)} (${error.reason})\n`);
  for (const { field, description } of error.violations)
    if (!error.message.includes(description))
      cli.terminal.err(`  ${oneLine(field)}: ${oneLine(description)}\n`);
  if (error.retryAfterMs !== undefined)
    cli.terminal.err(`  It may work again in ${Math.ceil(error.retryAfterMs)} ms.\n`);
  if (
    error.reason === 'INTERNAL' &&
    error.cause instanceof Error &&
    cli.environment.CARILLON_LOG_LEVEL === 'debug'
  )
    cli.terminal.err(`${error.cause.stack}\n`);
}

/** Runs one command line (without `node` and the script); resolves to the exit code. */
export async function runCli(argv: readonly string[], cli: Cli): Promise<number> {
  try {
    await createProgram(cli).parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    // Commander has said it already; its code 0 is help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (cli.signal.aborted) return INTERRUPTED;
    const own = carillonError(error);
    report(cli, own);
    return own.reason === 'USAGE' ? 2 : 1;
  }
}
