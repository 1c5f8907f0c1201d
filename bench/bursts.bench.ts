// G3: ten messages to each stream at once, which become one write.
import type { Bench } from './bench.ts';
import { contest } from './fan-out/contest.ts';
import { BURST_COUNT } from './fan-out/messages.ts';

const STREAMS = 1_000;
const TICKS = 20;

export const bench: Bench = {
  name: 'bursts',
  goals: ['G3'],
  about:
    `server CPU per message, ${BURST_COUNT} at once to each of ${STREAMS} streams. Ours gets them as a link brings them, each with its own seq and cursor; ` +
    'node:net and node:http2 write the ten as one ready-made buffer, the others are given ten messages in one turn.',
  async run(context) {
    const burst = { goal: 'G3', streams: STREAMS, load: 'burst', ticks: TICKS } as const;
    const http1 = await contest(
      {
        ...burst,
        name: 'bursts over HTTP/1.1',
        clients: 'http1',
        others: [
          { server: 'node-net', target: 0.75, ticks: TICKS },
          { server: 'ws', target: 4, ticks: TICKS },
          { server: 'socket-io', target: 0, ticks: TICKS },
          { server: 'connect-node', target: 20, ticks: 2 },
        ],
      },
      context,
    );
    const http2 = await contest(
      {
        ...burst,
        name: 'bursts over HTTP/2',
        clients: 'http2',
        others: [
          { server: 'node-http2', target: 0, ticks: TICKS },
          { server: 'connect-node', target: 0, ticks: 2 },
        ],
      },
      context,
    );
    return [...http1, ...http2];
  },
};
