// Breaks the mesh as planned and heals it again, and writes down from when to when what was broken.
import { createClient } from 'redis';
import { stackStatus } from '../../deploy/stack/stack.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { RoleProcess } from '../support/processes.ts';
import { ROLLING } from './checkers.ts';
import type { History } from './history.ts';
import { type PlannedFault, type Storm, textOf } from './plan.ts';
import type { Stage } from './stage.ts';
import type { Fault } from './windows.ts';

/** Long enough for a Send to be answered at the lowest rate that makes sense. */
const SEND_ANSWERS_MS = 3_000;

export interface Nemesis {
  stage: Stage;
  history: History;
  say: (text: string) => void;
  /** What the mesh gets after each storm before it counts as whole. */
  recoveryMs: number;
}

/** Runs the storm to its end: all faults healed, the time to recover over, and the quiet stretch too. */
export async function runStorm(
  nemesis: Nemesis,
  { steps, quietMs }: Storm,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    steps.map(async ({ atMs, fault }) => {
      await systemClock.sleep(atMs, signal);
      if (!signal.aborted) await act(nemesis, fault);
    }),
  );
  await systemClock.sleep(nemesis.recoveryMs + quietMs, signal);
}

/** One edge after the other leaves and comes back, at full load. */
export async function restartEdges(nemesis: Nemesis): Promise<void> {
  const names = nemesis.stage.edges.map((url) => processAt(nemesis.stage, url));
  const fault = begin(nemesis, ROLLING);
  for (const process of names) {
    await leave(nemesis, process);
    await start(nemesis, process);
  }
  heal(nemesis, fault);
}

function processAt({ processes }: Stage, url: string): RoleProcess {
  const found = processes().find(({ addresses }) => Object.values(addresses).includes(url));
  if (!found) throw new Error(`nobody listens at ${url}`);
  return found;
}

function begin({ history, say }: Nemesis, what: string): Fault {
  say(`${what} …`);
  return history.fault(what, systemClock.now());
}

function heal({ say }: Nemesis, fault: Fault): void {
  fault.healedMs = systemClock.now();
  say(`… ${fault.what}: healed after ${((fault.healedMs - fault.beganMs) / 1_000).toFixed(1)} s`);
}

/** One that does not come up is a fault of the mesh; the run goes on if it does the next time. */
async function start({ history, say }: Nemesis, process: RoleProcess): Promise<void> {
  const startedMs = systemClock.monotonic();
  try {
    await process.start();
  } catch (error) {
    history.surprises.push(String(error));
    await process.end('SIGKILL');
    await process.start();
  }
  say(`    ${process.name} was ready after ${((systemClock.monotonic() - startedMs) / 1_000).toFixed(1)} s`);
}

async function leave({ history, say }: Nemesis, process: RoleProcess): Promise<void> {
  const { code, ms } = await process.leave();
  history.leaves.push({ what: process.name, code, ms });
  say(
    `    ${process.name} left after ${(ms / 1_000).toFixed(1)} s (${code === null ? 'by force' : `exit ${code}`})`,
  );
}

async function act(nemesis: Nemesis, planned: PlannedFault): Promise<void> {
  if (planned.target === 'redis' || planned.target === 'kafka')
    return actOnStore(nemesis, planned, planned.target);
  const { stage, history } = nemesis;
  const process = stage.processes().find(({ name }) => name === planned.target);
  if (!process) throw new Error(`there is no ${planned.target}`);
  if (process.died) {
    history.surprises.push(`${process.name} ended by itself before ${textOf(planned)}`);
    await start(nemesis, process);
    return;
  }
  if (planned.kind === 'visit') return visit(nemesis, planned, process);
  const fault = begin(nemesis, textOf(planned));
  if (planned.kind === 'freeze') {
    process.freeze();
    await systemClock.sleep(planned.forMs);
    process.thaw();
  } else {
    if (planned.kind === 'kill') await process.kill();
    else await leave(nemesis, process);
    await systemClock.sleep(planned.forMs);
    await start(nemesis, process);
  }
  heal(nemesis, fault);
}

async function visit(nemesis: Nemesis, planned: PlannedFault, like: RoleProcess): Promise<void> {
  const guest = await nemesis.stage.another(like);
  const fault = begin(nemesis, `join of ${guest.name} for ${(planned.forMs / 1_000).toFixed(1)} s`);
  await start(nemesis, guest);
  await systemClock.sleep(planned.forMs);
  if (guest.died) nemesis.history.surprises.push(`${guest.name} ended by itself`);
  else await leave(nemesis, guest);
  heal(nemesis, fault);
}

async function actOnStore(nemesis: Nemesis, planned: PlannedFault, name: 'redis' | 'kafka'): Promise<void> {
  const { stack } = nemesis.stage;
  if (!stack) throw new Error('an embedded mesh has no stores to break');
  const fault = begin(nemesis, textOf(planned));
  const acceptedBefore = nemesis.history.accepted.length;
  if (planned.kind === 'flushall') await flushAll(stack.redisUrl);
  else if (planned.kind === 'freeze') {
    const pid = (await stackStatus(stack.directory))?.find((service) => service.name === name)?.pid;
    if (pid === undefined) throw new Error(`${name} does not run`);
    process.kill(pid, 'SIGSTOP');
    await systemClock.sleep(planned.forMs);
    process.kill(pid, 'SIGCONT');
  } else {
    await (planned.kind === 'kill' ? stack[name].kill() : stack[name].stop());
    await systemClock.sleep(planned.forMs);
    await stack[name].start();
    const awayMs = systemClock.now() - fault.beganMs;
    if (awayMs > SEND_ANSWERS_MS && nemesis.history.accepted.length === acceptedBefore)
      nemesis.history.surprises.push(`Send did not answer while ${name} was away`);
  }
  heal(nemesis, fault);
}

async function flushAll(url: string): Promise<void> {
  const client = createClient({ url }).on('error', () => undefined);
  await client.connect();
  await client.flushAll();
  client.destroy();
}
