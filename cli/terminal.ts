// Where a command speaks: data on stdout, everything about it on stderr, colours only where a person looks.
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export interface Terminal {
  /** Data. */
  out(text: string): void;
  /** Words about it. */
  err(text: string): void;
  /** A person looks at what `err` says. */
  readonly watched: boolean;
  /** Paints for stdout; leaves the text alone when stdout is not a terminal or NO_COLOR is set. */
  paint(style: Style, text: string): string;
}

/** The process's own. A reader that went away (`| head`) ends the process quietly. */
export function processTerminal(): Terminal {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    watched: process.stderr.isTTY === true,
    paint: (style, text) =>
      process.stdout.isTTY ? styleText(style, text, { stream: process.stdout }) : text,
  };
}

/** Columns that line up, two spaces apart; the last is as long as it likes. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, index) =>
    Math.max(title.length, ...rows.map((row) => (row[index] ?? '').length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => (index === cells.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
      .join('  ')
      .trimEnd();
  return `${[line(head), ...rows.map(line)].join('\n')}\n`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach a terminal.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** What others wrote, made harmless for a terminal: no escape sequences, one line. */
export const oneLine = (text: string): string => text.replaceAll(/\s*\n\s*/g, ' ').replace(CONTROL, '');
