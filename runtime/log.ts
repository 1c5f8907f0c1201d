// Structured logs, one JSON object a line, on stderr when nothing else is said; trace ids on every line of a flow.
import pino from 'pino';

export type Log = pino.Logger;

export function createLog(
  options: { level?: string; service?: string; destination?: pino.DestinationStream | undefined } = {},
): Log {
  return pino(
    {
      level: options.level ?? 'info',
      base: { service: options.service ?? 'carillon' },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    options.destination ?? pino.destination({ fd: 2, sync: true }),
  );
}

/** For tests and benchmarks. */
export const silentLog: Log = pino({ level: 'silent' });
