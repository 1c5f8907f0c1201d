// G4 to G6 at full size: 18,000 streams on one process, and 60,000 over four, beside what people would take instead.
import { type Bench, type BenchContext, median, type Row } from './bench.ts';
import { Arena, type Timing } from './fan-out/arena.ts';
import { clientsOf } from './fan-out/contest.ts';
import type { ClientKind, ServerKind } from './fan-out/messages.ts';

const TICKS = 3;
const KIB = 1_024;
const STALL_MS = 20;
const bounds: Readonly<Record<'http1' | 'http2', number>> = { http1: 8, http2: 30 };

interface Scale {
  readonly processes: number;
  /** A process has 20,000 file descriptors. */
  readonly streams: number;
  readonly groups: readonly { clients: 'http1' | 'http2'; label: string; others: readonly ServerKind[] }[];
}

const scales: readonly Scale[] = [
  {
    processes: 1,
    streams: 18_000,
    groups: [
      { clients: 'http1', label: 'HTTP/1.1', others: ['socket-io', 'connect-node'] },
      { clients: 'http2', label: 'HTTP/2', others: ['node-http2', 'connect-node'] },
    ],
  },
  {
    processes: 4,
    streams: 15_000,
    groups: [
      { clients: 'http1', label: 'HTTP/1.1', others: ['socket-io', 'connect-node'] },
      { clients: 'http2', label: 'HTTP/2', others: ['node-http2'] },
    ],
  },
];

interface Figures {
  /** KiB of resident memory per stream: from a process without any on, so nothing is left out. */
  idle: number;
  after: number;
  openMs: number;
  openUs: number;
  p99Ms: number;
  stallMs: number;
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

async function residentKiB(arenas: readonly Arena[]): Promise<number> {
  const usages = await Promise.all(arenas.map((arena) => arena.usage(true)));
  return sum(usages.map(({ rssBytes }) => rssBytes)) / KIB;
}

/** One tick on all processes at once: the slowest one's figures. */
async function tickAll(arenas: readonly Arena[]): Promise<Timing> {
  const timings = await Promise.all(arenas.map((arena) => arena.timedTick()));
  const most = (of: (timing: Timing) => number) => Math.max(...timings.map(of));
  return {
    p50Ms: most(({ p50Ms }) => p50Ms),
    p99Ms: most(({ p99Ms }) => p99Ms),
    stallMs: most(({ stallMs }) => stallMs),
  };
}

async function measure(
  server: ServerKind,
  clients: ClientKind,
  { processes, streams }: Scale,
  signal: AbortSignal,
): Promise<Figures> {
  using all = new DisposableStack();
  const arenas: Arena[] = [];
  for (let count = 0; count < processes; count++)
    arenas.push(all.use(await Arena.start(server, clientsOf(server, clients), signal)));
  const total = processes * streams;
  const before = await residentKiB(arenas);
  const openings = await Promise.all(arenas.map((arena) => arena.open(streams)));
  const idle = await residentKiB(arenas);
  const timings: Timing[] = [];
  for (let tick = 0; tick < TICKS; tick++) timings.push(await tickAll(arenas));
  const after = await residentKiB(arenas);
  return {
    idle: (idle - before) / total,
    after: (after - before) / total,
    openMs: Math.max(...openings.map(({ ms }) => ms)),
    openUs: sum(openings.map(({ cpuUsPerStream }) => cpuUsPerStream)) / processes,
    p99Ms: median(timings.map(({ p99Ms }) => p99Ms)),
    stallMs: Math.max(...timings.map(({ stallMs }) => stallMs)),
  };
}

const told = ({ idle, after, openMs, openUs, p99Ms, stallMs }: Figures): string =>
  `${idle.toFixed(1)} KiB idle, ${after.toFixed(1)} after ${TICKS} messages; open in ${(openMs / 1_000).toFixed(1)} s, ` +
  `${openUs.toFixed(0)} µs each; tick p99 ${p99Ms} ms, stall ${stallMs.toFixed(0)} ms`;

const row = (goal: string, name: string, unit: string, ours: number, other: number, target = 0): Row => ({
  goal,
  name,
  ours,
  other,
  unit,
  ratio: other / ours,
  target,
  ok: other / ours >= target,
});

async function atScale(scale: Scale, { progress, signal }: BenchContext): Promise<Row[]> {
  const { processes, streams } = scale;
  const size = `${(processes * streams).toLocaleString('en-US')} on ${processes}`;
  const rows: Row[] = [];
  for (const { clients, label, others } of scale.groups) {
    const name = (what: string, other: string) => `${size}, ${label}: ${what}, against ${other}`;
    const look = async (server: ServerKind): Promise<Figures> => {
      const figures = await measure(server, clients, scale, signal);
      progress(`${size}, ${label}, ${server}: ${told(figures)}`);
      return figures;
    };
    const ours = await look('ours');
    const most = bounds[clients];
    rows.push(row('G4', name('idle', `${most} KiB`), 'KiB/stream', ours.idle, most, 1));
    // Four edges and their clients on two cores wait for each other.
    if (processes === 1)
      rows.push(
        row('G6', name('longest stall of the loop', `${STALL_MS} ms`), 'ms', ours.stallMs, STALL_MS, 1),
      );
    for (const server of others) {
      const other = await look(server);
      const against = (goal: string, what: string, unit: string, of: (figures: Figures) => number) =>
        rows.push(row(goal, name(what, server), unit, of(ours), of(other)));
      against('G4', 'idle', 'KiB/stream', ({ idle }) => idle);
      against('G4', `after ${TICKS} messages`, 'KiB/stream', ({ after }) => after);
      against('G5', 'time to open all', 'ms', ({ openMs }) => openMs);
      against('G5', 'server CPU of opening', 'cpu_us/stream', ({ openUs }) => openUs);
      against('G6', 'p99 of one tick', 'ms', ({ p99Ms }) => p99Ms);
    }
  }
  return rows;
}

export const bench: Bench = {
  name: 'many-streams',
  goals: ['G4', 'G5', 'G6'],
  about:
    '18,000 streams on one process and 60,000 over four, a connection each, every one with a token that is checked; memory counted from a process without streams on, after a collection of garbage. ' +
    `One round, as each takes minutes in all; a tick is the median of ${TICKS}.`,
  async run(context) {
    const rows: Row[] = [];
    for (const scale of scales) rows.push(...(await atScale(scale, context)));
    return rows;
  },
};
