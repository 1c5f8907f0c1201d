// What a server under measurement offers to its process.
import type { Load } from './messages.ts';

export interface FanOutServer {
  readonly port: number;
  /** Streams that are ready for messages. */
  streams(): number;
  /** Sends to each stream, as that server does it best. */
  send(load: Load): void | Promise<void>;
  /** Bytes that a message has on the wire, for servers that send ready-made bytes. */
  size?(bytes: number): void;
}

/** A server that has one message for all is no measure of others. */
export function refuseDifferent(load: Load): void {
  if (load === 'different') throw new Error('this server sends the same to all');
}

export async function listenOnFreePort(server: import('node:net').Server): Promise<number> {
  await new Promise<void>((resolve) =>
    server.listen({ host: '127.0.0.1', port: 0, backlog: 4_096 }, resolve),
  );
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
