// Structured logs, one JSON object a line on stderr; trace ids on every line that belongs to a flow.
import pino from 'pino';

export type Log = pino.Logger;

export function createLog(options: { level?: string; service?: string } = {}): Log {
  return pino(
    {
      level: options.level ?? 'info',
      base: { service: options.service ?? 'carillon' },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** For tests and benchmarks. */
export const silentLog: Log = pino({ level: 'silent' });
