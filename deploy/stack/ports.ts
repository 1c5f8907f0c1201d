// Picks ports that nobody listens on, and that no outgoing connection takes while a service is down for a while.
import { createServer } from 'node:net';
import { CarillonError } from '../../runtime/errors.ts';
import { systemIds } from '../../runtime/ids.ts';

// Below the ranges from which Linux (32768) and macOS (49152) give ports to outgoing connections.
const FIRST = 20_000;
const LAST = 31_999;
const TRIES = 100;

function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once('error', () => resolve(false));
  server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  return promise;
}

/** `count` different free ports on 127.0.0.1. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count; tries++) {
    if (tries === TRIES)
      throw new CarillonError(
        'STACK_UNAVAILABLE',
        `No ${count} free ports between ${FIRST} and ${LAST} on 127.0.0.1.`,
      );
    const port = FIRST + Math.floor(systemIds.random() * (LAST - FIRST + 1));
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}
