// What every command is given, and the promise it keeps: one JSON object a line with --json, one sentence on errors.
import { Command } from 'commander';
import type { Clock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import { type LoadedConfig, readConfigFile, resolveConfig } from '../runtime/config-load.ts';
import { CarillonError } from '../runtime/errors.ts';
import type { Terminal } from './terminal.ts';

export interface Cli {
  readonly terminal: Terminal;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where `carillon.config.json` is looked for and relative paths begin. */
  readonly directory: string;
  /** Aborts at the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

export interface OutputOptions {
  json?: boolean;
}

/** Environment over file over defaults; `options` over all. Throws CONFIG_INVALID. */
export function loadConfig(cli: Cli, options: Partial<Record<keyof Config, unknown>> = {}): LoadedConfig {
  return resolveConfig({ environment: cli.environment, file: readConfigFile(cli.directory), options });
}

/** A command with the options that all have, and an example in its help. */
export function command(name: string, description: string, examples: readonly string[]): Command {
  return new Command(name)
    .description(description)
    .option('--json', 'print one JSON object a line')
    .addHelpText('after', `\nExample:\n${examples.map((example) => `  $ carillon ${example}`).join('\n')}`);
}

export function printJson(cli: Cli, value: unknown): void {
  cli.terminal.out(`${JSON.stringify(value)}\n`);
}

export function usage(sentence: string): CarillonError {
  return new CarillonError('USAGE', sentence);
}

/** Splits `a,b c` lists, given once or several times. */
export function commaList(value: string, before: readonly string[] = []): string[] {
  return [
    ...before,
    ...value
      .split(',')
      .map((each) => each.trim())
      .filter(Boolean),
  ];
}
