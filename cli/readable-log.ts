// Log lines for people: time, level, one sentence. For terminals and the demo; everywhere else a line is a JSON object.
import { styleText } from 'node:util';
import { oneLine, type Terminal } from './terminal.ts';

const LEVELS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};
/** Said in other words, or of use to programs alone. */
const LEFT_OUT = new Set(['level', 'time', 'service', 'msg', 'err', 'trace_id', 'span_id', 'trace_flags']);
const LINE_CHARS = 300;

interface Line {
  level: number;
  time: string;
  msg?: string;
  err?: { message?: string };
  [name: string]: unknown;
}

/** `10:45:02 warn  Redis is away: connect ECONNREFUSED 127.0.0.1:6379`. */
function readableLine(line: Line): string {
  const at = new Date(line.time).toLocaleTimeString('en-GB');
  const said = [line.msg, line.err?.message].filter(Boolean).join(': ').replaceAll('.:', ':');
  const more = Object.entries(line)
    .filter(([name, value]) => !LEFT_OUT.has(name) && ['string', 'number', 'boolean'].includes(typeof value))
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
  const text = oneLine(`${said}${more && ` (${more})`}`);
  const cut = text.length > LINE_CHARS ? `${text.slice(0, LINE_CHARS)}…` : text;
  return `${at} ${(LEVELS[line.level] ?? String(line.level)).padEnd(5)} ${cut}`;
}

/** Where pino writes. `leastLevel` may be raised while lines would only disturb. */
export class ReadableLog {
  readonly #terminal: Terminal;
  leastLevel = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  write(text: string): void {
    const line: Line = JSON.parse(text);
    if (line.level < this.leastLevel) return;
    const painted = line.level >= 50 ? 'red' : 'dim';
    this.#terminal.err(`${styleText(painted, readableLine(line), { stream: process.stderr })}\n`);
  }
}
