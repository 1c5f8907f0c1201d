// G6: how long one message takes to the last of 10,000 clients, and how long the server's loop stands still meanwhile.
import { type Bench, type BenchContext, compareCosts, median, type Row } from './bench.ts';
import { Arena, type Timing } from './fan-out/arena.ts';
import { clientsOf } from './fan-out/contest.ts';
import type { ClientKind, ServerKind } from './fan-out/messages.ts';

const STREAMS = 10_000;
const WARM_UP_TICKS = 8;
/** Of one round; its p99 is their median, its stall the longest of theirs. */
const TICKS = 3;
const STALL_MS = 20;

interface Contender {
  readonly server: ServerKind;
  readonly target: number;
  /** connect-node takes more than a second for one. */
  readonly ticks: number;
}

interface Found {
  p99Ms: number[];
  stallMs: number[];
}

async function look(arena: Arena, ticks: number, { p99Ms, stallMs }: Found): Promise<void> {
  const timings: Timing[] = [];
  for (let tick = 0; tick < ticks; tick++) timings.push(await arena.timedTick());
  p99Ms.push(median(timings.map((timing) => timing.p99Ms)));
  stallMs.push(Math.max(...timings.map((timing) => timing.stallMs)));
}

async function group(
  clients: ClientKind,
  label: string,
  others: readonly Contender[],
  { rounds, progress, signal }: BenchContext,
): Promise<Row[]> {
  using all = new DisposableStack();
  const start = async ({ server, ticks }: Omit<Contender, 'target'>): Promise<Arena> => {
    const arena = all.use(await Arena.start(server, clientsOf(server, clients), signal));
    await arena.open(STREAMS);
    for (let tick = 0; tick < (ticks === 1 ? 1 : WARM_UP_TICKS); tick++) await arena.timedTick();
    progress(`${label}: ${STREAMS} streams on ${server}`);
    return arena;
  };
  const ours = await start({ server: 'ours', ticks: TICKS });
  const nothing = (): Found => ({ p99Ms: [], stallMs: [] });
  const pairs: (Contender & { arena: Arena; mine: Found; theirs: Found })[] = [];
  for (const other of others)
    pairs.push({ ...other, arena: await start(other), mine: nothing(), theirs: nothing() });
  for (let round = 0; round < rounds; round++) {
    for (const { arena, ticks, mine, theirs } of pairs) {
      if (round % 2 === 0) await look(ours, TICKS, mine);
      await look(arena, ticks, theirs);
      if (round % 2 === 1) await look(ours, TICKS, mine);
    }
    const said = pairs.map(
      ({ server, mine, theirs }) =>
        `${server} ${theirs.p99Ms.at(-1)}, stall ${theirs.stallMs.at(-1)!.toFixed(0)} (ours ${mine.p99Ms.at(-1)}, stall ${mine.stallMs.at(-1)!.toFixed(0)})`,
    );
    progress(`${label}: round ${round + 1} of ${rounds}, p99 ms: ${said.join('; ')}`);
  }
  const stallMs = median(pairs.flatMap(({ mine }) => mine.stallMs));
  return [
    ...pairs.map(({ server, target, mine, theirs }) =>
      compareCosts({
        goal: 'G6',
        name: `p99 of one tick over ${label}, against ${server}`,
        unit: 'ms',
        ours: mine.p99Ms,
        other: theirs.p99Ms,
        target,
      }),
    ),
    {
      goal: 'G6',
      name: `longest stall of the loop in a tick over ${label}, against ${STALL_MS} ms`,
      ours: stallMs,
      other: STALL_MS,
      unit: 'ms',
      ratio: STALL_MS / stallMs,
      target: 1,
      ok: stallMs <= STALL_MS,
    },
  ];
}

export const bench: Bench = {
  name: 'tick',
  goals: ['G6'],
  about: `from the start of a broadcast to ${STREAMS} streams until 99 % of the clients, in another process, have it; and the server's longest stall meanwhile, by monitorEventLoopDelay.`,
  async run(context) {
    const http1 = await group(
      'http1',
      'HTTP/1.1',
      [
        { server: 'node-net', target: 0.8, ticks: TICKS },
        { server: 'socket-io', target: 0, ticks: TICKS },
        { server: 'connect-node', target: 0, ticks: 1 },
      ],
      context,
    );
    const http2 = await group(
      'http2',
      'HTTP/2',
      [{ server: 'node-http2', target: 0, ticks: TICKS }],
      context,
    );
    return [...http1, ...http2];
  },
};
