// `npm run chaos`: real processes, real kills at random moments under load; exit 0 only if every checker holds.

import { parseArgs } from 'node:util';
import { systemClock } from '../../runtime/clock.ts';
import { judge, quiesce } from './checkers.ts';
import { History } from './history.ts';
import { putUsers, sendUntil } from './load.ts';
import { openMailLedger } from './mail-ledger.ts';
import { type Mode, startMesh } from './mesh.ts';
import { runNemesis } from './nemesis.ts';
import { seeded } from './random.ts';
import { receive } from './receivers.ts';

const HELP = `Usage: npm run chaos -- [--mode embedded|cluster] [--seed N] [--kills N] [--minutes M] [--rate N] [--kafka-outage SECONDS]

Starts the mesh as real processes, sends under load, kills each role at least --kills times (default 20) with kill -9,
or for --minutes; in a cluster it also stops Kafka for --kafka-outage seconds (default 60). Prints the seed and what each
checker says. Example: npm run chaos -- --mode embedded --seed 7 --kills 20
`;

const { values } = parseArgs({
  options: {
    mode: { type: 'string', default: 'embedded' },
    seed: { type: 'string', default: String(systemClock.now() % 1_000_000) },
    kills: { type: 'string', default: '20' },
    minutes: { type: 'string' },
    rate: { type: 'string', default: '100' },
    users: { type: 'string', default: '40' },
    'kafka-outage': { type: 'string', default: '60' },
    help: { type: 'boolean', default: false },
  },
});

async function run(mode: Mode): Promise<boolean> {
  const seed = Number(values.seed);
  const say = (text: string) => process.stderr.write(`${text}\n`);
  say(`chaos: mode ${mode}, seed ${seed}, ${values.rate} notifications/s`);
  const history = new History();
  const chance = seeded(seed);
  await using ledger = await openMailLedger(history);
  await using mesh = await startMesh(mode, ledger.url);
  say(`mesh is up (logs in ${mesh.directory})`);

  const online = Array.from({ length: Number(values.users) }, (_, index) => `online-${index}`);
  const offline = Array.from({ length: Number(values.users) / 2 }, (_, index) => `offline-${index}`);
  await putUsers(mesh.ingest, offline);
  const receiving = new AbortController();
  const receivers = online.map((userId, index) =>
    receive(userId, index, mesh.edge, history, seeded(seed + index + 1), receiving.signal),
  );
  await Promise.all(receivers.map(({ connected }) => connected));

  const sending = new AbortController();
  const load = sendUntil(sending.signal, history, seeded(seed + 10_000), {
    ingest: mesh.ingest,
    perSecond: Number(values.rate),
    online,
    offline,
    seed,
  });
  await runNemesis(mesh, history, chance, {
    killsPerRole: Number(values.kills),
    untilMs:
      values.minutes === undefined ? undefined : systemClock.monotonic() + Number(values.minutes) * 60_000,
    kafkaOutageMs: Number(values['kafka-outage']) * 1_000,
    say,
  });
  sending.abort();
  await load;
  const healedMs = await quiesce(history, 180_000);
  // Acks and provider outcomes of the last moments are still on their way to the store.
  await systemClock.sleep(5_000);

  const verdicts = await judge(history, mesh.ingest);
  receiving.abort();
  await Promise.all(receivers.map(({ done }) => done));
  for (const { checker, ok, said } of verdicts)
    process.stdout.write(`${ok ? 'ok  ' : 'FAIL'}  ${checker}: ${said}\n`);
  for (const role of mesh.roles) process.stdout.write(`      ${role.name}: ${role.kills} kills\n`);
  process.stdout.write(
    `      all had arrived ${Math.round(healedMs)} ms after the last fault and call; seed ${seed}\n`,
  );
  return verdicts.every(({ ok }) => ok);
}

if (values.help) process.stdout.write(HELP);
else if (values.mode !== 'embedded' && values.mode !== 'cluster') {
  process.stderr.write(`--mode is embedded or cluster, not ${values.mode}\n`);
  process.exitCode = 2;
} else process.exitCode = (await run(values.mode)) ? 0 : 1;
