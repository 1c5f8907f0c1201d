// `npm run chaos`: real processes, real faults under load; exit 0 only if every checker holds.
import { parseArgs } from 'node:util';
import { systemClock } from '../../runtime/clock.ts';
import type { RunOptions } from './run.ts';
import { run } from './run.ts';

const HELP = `Usage: npm run chaos -- [--mode embedded|cluster] [--seed N] [--minutes M] [--clients N] [--rate N]

Starts the mesh as real processes (cluster: 3 edges, 2 routers, 2 ingest, 2 providers over PostgreSQL, Kafka and Redis), holds
--clients streams (default 2000; embedded 200), sends --rate notifications a second (default 300; embedded 60), and breaks
things for --minutes (default 5): kill -9, SIGSTOP, joins, leaves, stores that restart; then restarts all edges one after
the other. Prints the seed, what was done and when, and what each checker says. Exit 0 only if every one holds.

  --seed N             which faults come when, and everything else that is left to chance
  --storm N            faults that come together (default 5; embedded 1)
  --reconnects N       reconnects a second that an edge is configured to take (default 200)
  --keep               copies the logs of the processes and the history of the run, a JSON object a line, into a directory that stays

Example: npm run chaos -- --mode cluster --seed 7 --minutes 5
`;

const { values } = parseArgs({
  options: {
    mode: { type: 'string', default: 'embedded' },
    seed: { type: 'string', default: String(systemClock.now() % 1_000_000) },
    minutes: { type: 'string', default: '5' },
    clients: { type: 'string' },
    rate: { type: 'string' },
    storm: { type: 'string' },
    reconnects: { type: 'string', default: '200' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

function optionsOf(mode: RunOptions['mode'], signal: AbortSignal): RunOptions {
  const cluster = mode === 'cluster';
  return {
    mode,
    signal,
    seed: Number(values.seed),
    minutes: Number(values.minutes),
    clients: Number(values.clients ?? (cluster ? 2_000 : 200)),
    perSecond: Number(values.rate ?? (cluster ? 300 : 60)),
    faultsPerStorm: Number(values.storm ?? (cluster ? 5 : 1)),
    reconnectsPerSecond: Number(values.reconnects),
    keepLogs: values.keep,
  };
}

if (values.help) process.stdout.write(HELP);
else if (values.mode !== 'embedded' && values.mode !== 'cluster') {
  process.stderr.write(`--mode is embedded or cluster, not ${values.mode}\n`);
  process.exitCode = 2;
} else {
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort());
  const options = optionsOf(values.mode, interrupted.signal);
  const numbers = Object.entries(options).filter(([, value]) => typeof value === 'number');
  const wrong = numbers.find(([, value]) => !(Number(value) >= 0));
  if (wrong) {
    process.stderr.write(`${wrong[0]} is not a number\n`);
    process.exitCode = 2;
  } else process.exitCode = (await run(options)) ? 0 : 1;
}
