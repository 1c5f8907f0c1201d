// G5: 5,000 clients whose connections broke come back at once, each with a token that was never seen, and resume at their cursors.
import { type Bench, type BenchContext, compareCosts, type Row } from './bench.ts';
import { Arena, type Opening } from './fan-out/arena.ts';
import { clientsOf } from './fan-out/contest.ts';
import type { ClientKind, ServerKind } from './fan-out/messages.ts';

const STREAMS = 5_000;
/** Connections under way: more would wait in the kernel for nothing, and past its queue for a second. */
const PARALLEL = 1_000;
/** Until the compiler has done its work. */
const WARM_UP_STORMS = 4;

interface Contender {
  readonly server: ServerKind;
  readonly target: number;
}

async function storm(arena: Arena): Promise<Opening> {
  await arena.drop();
  return arena.open(STREAMS, { parallel: PARALLEL, resume: true });
}

async function group(
  clients: ClientKind,
  label: string,
  others: readonly Contender[],
  { rounds, progress, signal }: BenchContext,
): Promise<Row[]> {
  using all = new DisposableStack();
  const start = async (server: ServerKind): Promise<Arena> => {
    const arena = all.use(await Arena.start(server, clientsOf(server, clients), signal));
    await arena.open(STREAMS);
    await arena.tick();
    for (let count = 0; count < WARM_UP_STORMS; count++) await storm(arena);
    progress(`${label}: ${STREAMS} streams on ${server}`);
    return arena;
  };
  const ours = await start('ours');
  const pairs: (Contender & { arena: Arena; mine: Opening[]; theirs: Opening[] })[] = [];
  for (const other of others)
    pairs.push({ ...other, arena: await start(other.server), mine: [], theirs: [] });
  for (let round = 0; round < rounds; round++) {
    for (const { arena, mine, theirs } of pairs) {
      if (round % 2 === 0) mine.push(await storm(ours));
      theirs.push(await storm(arena));
      if (round % 2 === 1) mine.push(await storm(ours));
    }
    const told = ({ ms, cpuUsPerStream }: Opening) =>
      `${ms.toFixed(0)} ms, ${cpuUsPerStream.toFixed(0)} µs each`;
    const said = pairs.map(
      ({ server, mine, theirs }) => `${server} ${told(theirs.at(-1)!)} (ours ${told(mine.at(-1)!)})`,
    );
    progress(`${label}: round ${round + 1} of ${rounds}: ${said.join('; ')}`);
  }
  return pairs.flatMap(({ server, target, mine, theirs }) => {
    const row = (what: string, unit: string, goal: number, of: (opening: Opening) => number) =>
      compareCosts({
        goal: 'G5',
        name: `${what} over ${label}, against ${server}`,
        unit,
        ours: mine.map(of),
        other: theirs.map(of),
        target: goal,
      });
    return [
      row('server CPU of a reconnect', 'cpu_us/stream', target, ({ cpuUsPerStream }) => cpuUsPerStream),
      // A client of ours costs more than our server does of it, so this is the clients' time as much as the server's.
      row(`${STREAMS} back, clients and all`, 'ms', 0, ({ ms }) => ms),
    ];
  });
}

export const bench: Bench = {
  name: 'reconnect-storm',
  goals: ['G5'],
  about:
    `${STREAMS} streams that broke open again, from the first connection to the last stream's first message, ${PARALLEL} at a time. Every server checks a fresh HS256 token of each, ` +
    'the others with jose; ours opens sessions at their cursors, through the same code as in production, with an inbox that answers at once.',
  async run(context) {
    const http1 = await group(
      'http1',
      'HTTP/1.1',
      [
        { server: 'connect-node', target: 4 },
        { server: 'socket-io', target: 2 },
      ],
      context,
    );
    const http2 = await group(
      'http2',
      'HTTP/2',
      [
        { server: 'node-http2', target: 0 },
        { server: 'connect-node', target: 0 },
      ],
      context,
    );
    return [...http1, ...http2];
  },
};
