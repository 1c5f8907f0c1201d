// A terminal for tests that remembers what was said, and the command's surroundings around it.
import { systemClock } from '../runtime/clock.ts';
import type { Cli } from './cli.ts';

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
      // Holds no carillon.config.json.
      directory: import.meta.dirname,
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
