// A terminal for tests that remembers what was said, and the command's surroundings around it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../runtime/clock.ts';
import type { Cli } from './cli.ts';

/** Holds no carillon.config.json, and takes the local key of a mesh under test. */
const directory = mkdtempSync(join(tmpdir(), 'carillon-heard-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

export interface Hearing {
  readonly cli: Cli;
  /** Everything so far. */
  readonly out: string;
  readonly err: string;
}

export function hearing(
  options: {
    environment?: Readonly<Record<string, string>>;
    signal?: AbortSignal;
    watched?: boolean;
    /** Told of every text on stdout. */
    onOut?: (text: string) => void;
  } = {},
): Hearing {
  const said = { out: '', err: '' };
  return {
    cli: {
      terminal: {
        out(text) {
          said.out += text;
          options.onOut?.(text);
        },
        err(text) {
          said.err += text;
        },
        watched: options.watched ?? false,
        paint: (_style, text) => text,
      },
      environment: options.environment ?? {},
      directory,
      signal: options.signal ?? new AbortController().signal,
      clock: systemClock,
    },
    get out() {
      return said.out;
    },
    get err() {
      return said.err;
    },
  };
}
