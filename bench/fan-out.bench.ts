// G1 and G2: what it costs the server's CPU to push one message to each of 10,000 open streams, the same to all or to each its own.
import type { Bench } from './bench.ts';
import { contest } from './fan-out/contest.ts';

const STREAMS = 10_000;
/** Messages to every stream in one measurement; one to those that need a second for it. */
const TICKS = 10;

export const bench: Bench = {
  name: 'fan-out',
  goals: ['G1', 'G2'],
  about:
    `server CPU per message, ${STREAMS} streams with a connection each. Ours goes through link and session, and every frame has its own seq and cursor; ` +
    'the others send one shared message. The clients are lean ones of ours that speak the real protocols and drain (a stock client is ten times as dear as the server; one stream per process is read and its order checked).',
  async run(context) {
    const same = { goal: 'G1', streams: STREAMS, load: 'same', ticks: TICKS } as const;
    const http1 = await contest(
      {
        ...same,
        name: 'fan-out over HTTP/1.1',
        clients: 'http1',
        others: [
          { server: 'node-net', target: 0.9, ticks: TICKS },
          { server: 'socket-io', target: 1.4, ticks: TICKS },
          { server: 'ws', target: 0, ticks: TICKS },
          { server: 'connect-node', target: 8, ticks: 1 },
        ],
      },
      context,
    );
    const http2 = await contest(
      {
        ...same,
        name: 'fan-out over HTTP/2',
        clients: 'http2',
        others: [
          { server: 'node-http2', target: 0.9, ticks: TICKS },
          { server: 'connect-node', target: 4.5, ticks: 1 },
        ],
      },
      context,
    );
    const different = await contest(
      {
        ...same,
        goal: 'G2',
        name: 'each stream its own, HTTP/1.1',
        clients: 'http1',
        load: 'different',
        others: [
          { server: 'ours', target: 0.75, ticks: TICKS, load: 'same' },
          { server: 'connect-node', target: 0, ticks: 1 },
        ],
      },
      context,
    );
    return [...http1, ...http2, ...different];
  },
};
