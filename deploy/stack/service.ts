// What the three services of the stack have in common: prepared, run, asked whether they answer, ended.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { systemClock } from '../../runtime/clock.ts';
import { CarillonError } from '../../runtime/errors.ts';
import { spawnGuarded } from '../../runtime/guarded-process.ts';
import { limits } from '../../runtime/limits.ts';
import { identify, isAlive, type ProcessIdentity, signalProcess } from '../../runtime/process-identity.ts';

export const serviceNames = ['postgres', 'kafka', 'redis'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** Where a service lives; the same over stops and starts. */
export interface Place {
  /** Its own directory, absolute. */
  readonly directory: string;
  readonly port: number;
  /** A second port, for what talks to nobody but itself (Kafka's controller). */
  readonly innerPort: number;
}

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Record<string, string | undefined>;
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
}

export interface Service {
  readonly name: ServiceName;
  /** PostgreSQL takes INT for "now, and in good order". */
  readonly stopSignal: 'INT' | 'TERM';
  /** Fetches what is missing and lays out the files; says what to run. */
  prepare(place: Place, log: (line: string) => void): Promise<Program>;
  /** One real request of its protocol; rejects while it does not answer. */
  probe(place: Place): Promise<void>;
  /** What a client is told: a URL, for Kafka the list of brokers. */
  address(place: Place): Promise<string>;
}

/** `detached` lives on when we end; `guarded` ends with us, even on kill -9. */
export type Lifetime = 'detached' | 'guarded';

const logFile = (place: Place): string => `${place.directory}.log`;

async function spawnProgram(
  service: Service,
  program: Program,
  log: string,
  lifetime: Lifetime,
): Promise<number> {
  if (lifetime === 'guarded') {
    const lines = await open(log, 'a');
    const guarded = await spawnGuarded({
      ...program,
      stopSignal: service.stopSignal,
      onLine: (line) => void lines.write(`${line}\n`).catch(() => undefined),
    });
    guarded.release();
    void guarded.exited.then(() => lines.close());
    return guarded.pid;
  }
  await using output = await open(log, 'a');
  const child = spawn(program.command, program.args, {
    cwd: program.cwd,
    env: program.env,
    detached: true,
    stdio: ['ignore', output.fd, output.fd],
    ...(program.account && { uid: program.account.uid, gid: program.account.gid }),
  });
  await once(child, 'spawn');
  child.unref();
  return child.pid ?? 0;
}

async function lastLines(log: string): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-6).join(' / ');
}

/**
 * Runs the service and resolves when it answers. `record` gets the process before that, so that whoever interrupts us can
 * still be told what to end. Throws STACK_UNAVAILABLE with the last lines of its log.
 */
export async function run(
  service: Service,
  place: Place,
  lifetime: Lifetime,
  log: (line: string) => void,
  record: (process: ProcessIdentity) => Promise<void>,
): Promise<void> {
  const program = await service.prepare(place, log);
  const began = systemClock.monotonic();
  for (;;) {
    const pid = await spawnProgram(service, program, logFile(place), lifetime);
    const identity = await identify(pid);
    if (identity) await record(identity);
    let refusal: unknown = 'it ended at once';
    while (identity && (await isAlive(identity))) {
      try {
        await service.probe(place);
        // Somebody else's server on this port would answer too.
        if (await isAlive(identity)) return;
      } catch (error) {
        refusal = error;
      }
      if (systemClock.monotonic() - began > limits.stackStartMs) {
        await end(service, identity);
        throw unavailable(service, `does not answer within ${limits.stackStartMs / 1000} s`, place, refusal);
      }
      await systemClock.sleep(limits.stackPollMs);
    }
    // Right after a kill the port or the shared memory of the one before may still be taken for a moment.
    if (systemClock.monotonic() - began > limits.stackRetryMs) {
      throw unavailable(service, `ended: ${await lastLines(logFile(place))}`, place, refusal);
    }
    await systemClock.sleep(limits.stackPollMs);
  }
}

function unavailable(service: Service, what: string, place: Place, cause: unknown): CarillonError {
  return new CarillonError('STACK_UNAVAILABLE', `${service.name} ${what} (its log: ${logFile(place)}).`, {
    cause,
  });
}

async function gone(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  const began = systemClock.monotonic();
  while (await isAlive(identity)) {
    if (systemClock.monotonic() - began > withinMs) return false;
    await systemClock.sleep(limits.stackPollMs);
  }
  return true;
}

/** Ends the process in good order, after a while by force; resolves when it is gone. Nothing when it is another process now. */
export async function end(service: Service, identity: ProcessIdentity): Promise<void> {
  await signalProcess(identity, `SIG${service.stopSignal}`);
  if (!(await gone(identity, limits.stackStopMs))) await kill(identity);
}

/** kill -9; resolves when the process is gone. */
export async function kill(identity: ProcessIdentity): Promise<void> {
  await signalProcess(identity, 'SIGKILL');
  if (await gone(identity, limits.stackStopMs)) return;
  throw new CarillonError('STACK_UNAVAILABLE', `Process ${identity.pid} does not end, not even on kill -9.`);
}
