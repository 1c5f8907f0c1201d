// Ours beside others, in pairs measured next to each other: what a message costs each server's CPU.
import { type BenchContext, compareCosts, type Row } from '../bench.ts';
import { Arena } from './arena.ts';
import type { ClientKind, Load, ServerKind } from './messages.ts';

interface Contender {
  readonly server: ServerKind;
  /** `ours` must be so many times as cheap; 0: no goal, shown for comparison. */
  readonly target: number;
  /** Loads to every stream in one measurement, and before the first one, until the compiler has done its work. */
  readonly ticks: number;
  /** Another than ours is given. */
  readonly load?: Load;
}

export interface Contest {
  readonly goal: string;
  /** What is sent, and over what. */
  readonly name: string;
  readonly clients: ClientKind;
  readonly streams: number;
  readonly load: Load;
  /** Of ours. */
  readonly ticks: number;
  readonly others: readonly Contender[];
}

export const clientsOf = (server: ServerKind, clients: ClientKind): ClientKind =>
  server === 'socket-io' || server === 'ws' ? server : clients;

export async function contest(
  { goal, name, clients, streams, load, ticks: ourTicks, others }: Contest,
  { rounds, progress, signal }: BenchContext,
): Promise<Row[]> {
  using all = new DisposableStack();
  const start = async (server: ServerKind): Promise<Arena> => {
    const arena = all.use(await Arena.start(server, clientsOf(server, clients), signal));
    await arena.open(streams);
    progress(`${name}: ${streams} streams on ${server}`);
    return arena;
  };
  const ours = await start('ours');
  await ours.cpuUsPerMessage(ourTicks, load);
  const bytes = Math.round(await ours.tick());
  const pairs: (Contender & { load: Load; arena: Arena; oursUs: number[]; otherUs: number[] })[] = [];
  for (const contender of others) {
    const arena = await start(contender.server);
    arena.size(bytes);
    await arena.cpuUsPerMessage(contender.ticks, contender.load ?? load);
    pairs.push({ load, ...contender, arena, oursUs: [], otherUs: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { arena, ticks, load: theirs, oursUs, otherUs } of pairs) {
      // Next to each other and in turns: who comes after a dear server finds the caches empty.
      if (round % 2 === 0) oursUs.push(await ours.cpuUsPerMessage(ourTicks, load));
      otherUs.push(await arena.cpuUsPerMessage(ticks, theirs));
      if (round % 2 === 1) oursUs.push(await ours.cpuUsPerMessage(ourTicks, load));
    }
    const said = pairs.map(
      ({ server, oursUs, otherUs }) =>
        `${server} ${otherUs.at(-1)!.toFixed(2)} (ours ${oursUs.at(-1)!.toFixed(2)})`,
    );
    progress(`${name}: round ${round + 1} of ${rounds}, µs: ${said.join(', ')}`);
  }
  return pairs.map(({ server, load: theirs, target, oursUs, otherUs }) =>
    compareCosts({
      goal,
      name: `${name}, against ${server}${theirs === load ? '' : ` with the ${theirs} for all`}`,
      unit: 'cpu_us/msg',
      ours: oursUs,
      other: otherUs,
      target,
    }),
  );
}
