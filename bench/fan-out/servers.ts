// What a server under measurement offers to its process.

export interface FanOutServer {
  readonly port: number;
  /** Streams that are ready for messages. */
  streams(): number;
  /** One message to each stream, as that server does it best. */
  tick(): void | Promise<void>;
  /** Bytes that a message has on the wire, for servers that send ready-made bytes. */
  size?(bytes: number): void;
}

export async function listenOnFreePort(server: import('node:net').Server): Promise<number> {
  await new Promise<void>((resolve) =>
    server.listen({ host: '127.0.0.1', port: 0, backlog: 4_096 }, resolve),
  );
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
