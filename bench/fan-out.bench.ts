// G1: what it costs the server's CPU to push one message to each of 10,000 open streams.
import { type Bench, type BenchContext, compareCosts, type Row } from './bench.ts';
import { Arena } from './fan-out/arena.ts';
import type { ClientKind, ServerKind } from './fan-out/messages.ts';

const STREAMS = 10_000;
/** Messages to every stream in one measurement, and before the first one, until the compiler has done its work. */
const TICKS = 10;

interface Contender {
  readonly server: ServerKind;
  /** `ours` must be so many times as cheap; 0: no goal, shown for comparison. */
  readonly target: number;
  readonly ticks: number;
}

async function group(
  clients: ClientKind,
  label: string,
  others: readonly Contender[],
  { rounds, progress, signal }: BenchContext,
): Promise<Row[]> {
  using all = new DisposableStack();
  const start = async (server: ServerKind): Promise<Arena> => {
    const speaks = server === 'socket-io' || server === 'ws' ? server : clients;
    const arena = all.use(await Arena.start(server, speaks, signal));
    await arena.open(STREAMS);
    progress(`${label}: ${STREAMS} streams on ${server}`);
    return arena;
  };
  const ours = await start('ours');
  await ours.cpuUsPerMessage(TICKS);
  const bytes = Math.round(await ours.tick());
  const arenas: Arena[] = [];
  for (const { server, ticks } of others) {
    const arena = await start(server);
    arena.size(bytes);
    await arena.cpuUsPerMessage(ticks);
    arenas.push(arena);
  }
  const pairs = others.map(({ server, target, ticks }, index) => ({
    server,
    target,
    ticks,
    arena: arenas[index]!,
    oursUs: [] as number[],
    otherUs: [] as number[],
  }));
  for (let round = 0; round < rounds; round++) {
    for (const { arena, ticks, oursUs, otherUs } of pairs) {
      // Next to each other and in turns: who comes after a dear server finds the caches empty.
      if (round % 2 === 0) oursUs.push(await ours.cpuUsPerMessage(TICKS));
      otherUs.push(await arena.cpuUsPerMessage(ticks));
      if (round % 2 === 1) oursUs.push(await ours.cpuUsPerMessage(TICKS));
    }
    const said = pairs.map(
      ({ server, oursUs, otherUs }) =>
        `${server} ${otherUs.at(-1)!.toFixed(1)} (ours ${oursUs.at(-1)!.toFixed(1)})`,
    );
    progress(`${label}: round ${round + 1} of ${rounds}, µs: ${said.join(', ')}`);
  }
  return pairs.map(({ server, target, oursUs, otherUs }) =>
    compareCosts({
      goal: 'G1',
      name: `fan-out over ${label}, against ${server}`,
      unit: 'cpu_us/msg',
      ours: oursUs,
      other: otherUs,
      target,
    }),
  );
}

export const bench: Bench = {
  name: 'fan-out',
  goals: ['G1'],
  about:
    `server CPU per message, ${STREAMS} streams with a connection each. Ours goes through link and session, and every frame has its own seq and cursor; ` +
    'the others send one shared message. The clients are lean ones of ours that speak the real protocols and drain (a stock client is ten times as dear as the server; one stream per process is read and its order checked).',
  async run(context) {
    const http1 = await group(
      'http1',
      'HTTP/1.1',
      [
        { server: 'node-net', target: 0.9, ticks: TICKS },
        { server: 'socket-io', target: 1.4, ticks: TICKS },
        { server: 'ws', target: 0, ticks: TICKS },
        { server: 'connect-node', target: 8, ticks: 1 },
      ],
      context,
    );
    const http2 = await group(
      'http2',
      'HTTP/2',
      [
        { server: 'node-http2', target: 0.9, ticks: TICKS },
        { server: 'connect-node', target: 4.5, ticks: 1 },
      ],
      context,
    );
    return [...http1, ...http2];
  },
};
