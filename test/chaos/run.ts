// One run: the mesh, the crowd and the load come up, storms go over them, all must have arrived, and then it is judged.
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../runtime/clock.ts';
import { ONE_OF_EACH, type RoleCounts } from '../support/running-cluster.ts';
import { allArrived } from './arrivals.ts';
import { audit } from './audit.ts';
import { players } from './cast.ts';
import {
  allAfterHealing,
  type Bounds,
  inOrder,
  nobodySurprised,
  noNeedlessMail,
  nothingLost,
  onePerKey,
  pacedRestart,
  seenOnce,
  usuallyAtOnce,
  type Verdict,
  windowsIn,
} from './checkers.ts';
import { CpuWatch } from './cpu.ts';
import { gatherCrowd } from './crowd.ts';
import { History } from './history.ts';
import { writeHistory } from './history-file.ts';
import { putUsers, sendersKey, sendUntil } from './load.ts';
import { openMailLedger } from './mail-ledger.ts';
import { type Nemesis, restartEdges, runStorm } from './nemesis.ts';
import { storms } from './plan.ts';
import { seeded } from './random.ts';
import { type Mode, openStage, type Stage } from './stage.ts';
import { cpuLines, summary } from './summary.ts';

export interface RunOptions {
  mode: Mode;
  seed: number;
  minutes: number;
  clients: number;
  perSecond: number;
  faultsPerStorm: number;
  reconnectsPerSecond: number;
  keepLogs: boolean;
  /** Ends the run early, in good order. */
  signal: AbortSignal;
}

const MESH: RoleCounts = { ingest: 2, router: 2, edge: 3, providers: 2 };
const CROWDS = 2;
const CROWD_READY_MS = 120_000;
const PROGRESS_MS = 10_000;
/** Before the first storm. */
const WARM_UP_MS = 10_000;
const ARRIVED_MS = 120_000;
/** The last outcomes of providers are still on their way to the store. */
const SETTLED_MS = 5_000;

const boundsOf = ({ reconnectsPerSecond }: RunOptions): Bounds => ({
  usualMs: 1_000,
  usualShare: 0.999,
  recoveryMs: 10_000,
  leaveMs: 30_000,
  reconnectsPerSecond,
});

/** Whether every checker held. */
export async function run(options: RunOptions): Promise<boolean> {
  const { mode, seed, clients, perSecond, minutes } = options;
  const startedMs = systemClock.monotonic();
  const say = (text: string) =>
    process.stderr.write(
      `${((systemClock.monotonic() - startedMs) / 1_000).toFixed(1).padStart(6)} ${text}\n`,
    );
  say(`chaos: mode ${mode}, seed ${seed}, ${clients} clients, ${perSecond} notifications/s, ${minutes} min`);
  const history = new History(systemClock.now());
  await using ledger = await openMailLedger(history);
  await using stage = await openStage({
    mode,
    smtpUrl: ledger.url,
    counts: mode === 'cluster' ? MESH : ONE_OF_EACH,
    env: { CARILLON_EDGE_RECONNECTS_PER_SECOND: String(options.reconnectsPerSecond) },
  });
  say(`mesh is up (logs in ${stage.directory})`);
  try {
    return await runOn(stage, history, options, say);
  } finally {
    if (options.keepLogs) {
      const kept = join(tmpdir(), `chaos-logs-${seed}`);
      await cp(stage.directory, kept, {
        recursive: true,
        filter: (path) => !path.endsWith('/data'),
      });
      await writeHistory(history, join(kept, 'history.jsonl'));
      say(`logs and history are kept in ${kept}`);
    }
  }
}

async function runOn(
  stage: Stage,
  history: History,
  options: RunOptions,
  say: (text: string) => void,
): Promise<boolean> {
  const { seed, signal } = options;
  const chance = seeded(seed);
  const bounds = boundsOf(options);
  const { devices, users, mailed } = players(options.clients, stage.edges.length, chance);
  history.devices.push(...devices);
  const headers = await sendersKey(stage.ingests[0]!, stage.apiKey);
  await putUsers(stage.ingests[0]!, headers, mailed);
  await using crowd = gatherCrowd(history, { processes: CROWDS, edges: stage.edges, seed, env: {} });
  await inTime(crowd.ready, CROWD_READY_MS, 'streams for all clients', signal);
  say(`${devices.length} devices of ${users.in_app.length} users have their streams`);

  using cpu = new CpuWatch(async () => [
    { name: 'harness', pid: process.pid },
    ...crowd.pids.map((pid) => ({ name: 'clients', pid })),
    ...stage.processes().flatMap(({ name, pid }) => (pid === undefined ? [] : [{ name, pid }])),
    ...(await stage.stores()),
  ]);
  using _progress = systemClock.every(PROGRESS_MS, () => say(history.progress));
  const sending = new AbortController();
  const fromMs = systemClock.now();
  const load = sendUntil(sending.signal, signal, history, seeded(seed + 10_000), {
    ingests: stage.ingests,
    headers,
    perSecond: options.perSecond,
    users,
    seed,
  });
  await batter({ stage, history, say, recoveryMs: bounds.recoveryMs }, chance, options);
  const untilMs = systemClock.now();
  const [cores, pressure] = [await cpu.cores(), await cpu.pressure()];
  sending.abort();
  await load;
  if (signal.aborted) return false;
  say('nothing is sent any more; waiting for the last to arrive');
  await quiesce(history, signal);
  await systemClock.sleep(SETTLED_MS, signal);

  say('asking the mesh about all of them');
  const verdicts = [...judge(history, bounds), ...(await audit(history, stage.ingests, headers))];
  process.stdout.write(summary(history, bounds, fromMs, untilMs));
  process.stdout.write(cpuLines(cores, pressure));
  for (const { checker, ok, said } of verdicts)
    process.stdout.write(`${ok ? 'ok  ' : 'FAIL'}  ${checker}: ${said}\n`);
  process.stdout.write(`      seed ${seed}\n`);
  return verdicts.every(({ ok }) => ok);
}

async function inTime(
  what: Promise<void>,
  withinMs: number,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const given = new AbortController();
  const late = systemClock
    .sleep(withinMs, AbortSignal.any([signal, given.signal]))
    .then(() => 'late' as const);
  try {
    if ((await Promise.race([what, late])) === 'late') throw new Error(`no ${name} within ${withinMs} ms`);
  } finally {
    given.abort();
  }
}

/** Storms for so many minutes, then the restart of all edges. */
async function batter(
  nemesis: Nemesis,
  chance: ReturnType<typeof seeded>,
  options: RunOptions,
): Promise<void> {
  const { stage } = nemesis;
  const { signal, minutes, faultsPerStorm } = options;
  const endMs = systemClock.monotonic() + minutes * 60_000;
  await systemClock.sleep(WARM_UP_MS, signal);
  for (const storm of storms(chance, { cards: stage.cards, roles: stage.roles, faultsPerStorm })) {
    if (signal.aborted || systemClock.monotonic() >= endMs) break;
    await runStorm(nemesis, storm, signal);
  }
  if (stage.edges.length > 1 && !signal.aborted) {
    await restartEdges(nemesis);
    await systemClock.sleep(nemesis.recoveryMs, signal);
  }
  for (const process of stage.processes())
    if (process.died) nemesis.history.surprises.push(`${process.name} ended by itself`);
}

async function quiesce(history: History, signal: AbortSignal): Promise<void> {
  const startedMs = systemClock.monotonic();
  while (!allArrived(history) && systemClock.monotonic() - startedMs < ARRIVED_MS && !signal.aborted)
    await systemClock.sleep(1_000, signal);
}

function judge(history: History, bounds: Bounds): Verdict[] {
  const windows = windowsIn(history, bounds.recoveryMs, systemClock.now());
  return [
    nothingLost(history),
    seenOnce(history),
    inOrder(history),
    usuallyAtOnce(history, windows, bounds),
    allAfterHealing(history, windows, bounds),
    pacedRestart(history, bounds),
    noNeedlessMail(history, windows, bounds),
    onePerKey(history),
    nobodySurprised(history, bounds.leaveMs),
  ];
}
