// `npm run bench [-- NAME…] [--json FILE]`: runs what stands in *.bench.ts, prints ratios, and fails when one misses its target.
import { appendFile, readdir } from 'node:fs/promises';
import { arch, availableParallelism, cpus, platform, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { systemClock } from '../runtime/clock.ts';
import type { Bench, Row } from './bench.ts';
import { table } from './table.ts';

const SUFFIX = '.bench.ts';

async function discover(): Promise<Bench[]> {
  const files = (await readdir(import.meta.dirname)).filter((file) => file.endsWith(SUFFIX)).toSorted();
  const modules = await Promise.all(
    files.map(async (file) => (await import(`./${file}`)) as { bench: Bench }),
  );
  return modules.map(({ bench }) => bench);
}

function machine(): string {
  const [cpu] = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${cpu?.model.trim()} × ${availableParallelism()}, ${memory}, ${platform()} ${arch()}, Node ${process.version.slice(1)}`;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'string' }, rounds: { type: 'string', default: '7' } },
  });
  const all = await discover();
  const wanted = positionals.map((name) => name.toLowerCase());
  const chosen = all.filter(
    ({ name, goals }) =>
      wanted.length === 0 ||
      wanted.some((want) => want === name || goals.some((goal) => goal.toLowerCase() === want)),
  );
  if (chosen.length === 0) {
    process.stderr.write(`No such benchmark. There are: ${all.map(({ name }) => name).join(', ')}\n`);
    return 2;
  }
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort(new Error('stopped')));
  const rounds = Math.max(5, Number(values.rounds) || 0);
  const rows: Row[] = [];
  say(`${new Date(systemClock.now()).toISOString().slice(0, 10)}  ${machine()}`);
  for (const bench of chosen) {
    say(`\n${bench.name}: ${bench.about}`);
    const progress = (text: string) => void process.stderr.write(`  ${text}\n`);
    const found = await bench.run({ rounds, progress, signal: stop.signal });
    rows.push(...found);
    say(table(found));
    if (values.json) await appendFile(values.json, found.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
  return rows.every(({ ok }) => ok) ? 0 : 1;
}

process.exitCode = await main();
