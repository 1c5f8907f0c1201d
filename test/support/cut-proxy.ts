// A way over TCP that a test can cut, after so many bytes if need be, while both ends stay as they are.
import net, { type Socket } from 'node:net';

export interface CutProxy extends AsyncDisposable {
  readonly port: number;
  /** Connections that were taken so far. */
  readonly taken: number;
  /** Breaks what is open, at once. */
  cut(): void;
  /** Breaks what is open once the client has sent so many bytes more. */
  cutAfter(bytes: number): void;
}

/** Leads to 127.0.0.1:`to()`, looked at for each connection. */
export async function openCutProxy(to: () => number): Promise<CutProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let left = Number.POSITIVE_INFINITY;
  let taken = 0;
  const cut = () => {
    left = Number.POSITIVE_INFINITY;
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    pairs.clear();
  };
  const server = net.createServer((client) => {
    taken++;
    const onward = net.connect(to(), '127.0.0.1');
    const pair = [client, onward] as const;
    pairs.add(pair);
    for (const socket of pair)
      socket
        .on('error', () => {})
        .once('close', () => {
          pairs.delete(pair);
          for (const each of pair) each.destroy();
        });
    client.on('data', (bytes: Buffer) => {
      const passed = bytes.subarray(0, left);
      left -= bytes.length;
      if (!onward.write(passed)) client.pause();
      // What was let through arrives before the end does.
      if (left <= 0) onward.write('', () => cut());
    });
    onward.on('drain', () => client.resume());
    onward.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    get taken() {
      return taken;
    },
    cut,
    cutAfter(bytes) {
      left = bytes;
    },
    [Symbol.asyncDispose]: () => {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
