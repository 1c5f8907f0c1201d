// Thousands of clients in a few processes of their own: what they report becomes the history.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Device, History } from './history.ts';
import type { Cast, Report } from './reports.ts';

const PLAYER = join(import.meta.dirname, 'crowd-process.ts');

export interface Crowd extends AsyncDisposable {
  /** Resolves when every device has had its first Hello. */
  readonly ready: Promise<void>;
  readonly pids: readonly number[];
}

export interface CrowdOptions {
  processes: number;
  edges: readonly string[];
  seed: number;
  env: NodeJS.ProcessEnv;
}

/** Starts the devices of the history. */
export function gatherCrowd(history: History, { processes, edges, seed, env }: CrowdOptions): Crowd {
  const waiting = new Set(history.devices.map(({ id }) => id));
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  const take = (report: Report) => {
    for (const [device, notificationId, seq, atMs] of report.seen)
      history.see(device, notificationId, seq, atMs);
    for (const [device, seq, atMs] of report.acked) history.acknowledge(device, seq, atMs);
    for (const [device, fromMs, untilMs] of report.absences)
      history.absences.push({ device, fromMs, untilMs });
    for (const [device, edge, atMs, answeredMs] of report.arrivals)
      history.arrivals.push({ device, edge, atMs, answeredMs });
    for (const device of report.ready) waiting.delete(device);
    history.surprises.push(...report.surprises);
    if (waiting.size === 0) resolve();
  };
  let closing = false;
  const children = Array.from({ length: processes }, (_, index) => {
    const devices: Device[] = history.devices.filter(({ id }) => id % processes === index);
    const child = fork(PLAYER, { env: { ...process.env, ...env } });
    child.on('message', (report) => take(report as Report));
    child.once('exit', (code, signal) => {
      if (closing) return;
      history.surprises.push(`the process of a crowd ended: ${code ?? signal}`);
      reject(new Error('the process of a crowd ended'));
    });
    child.send({ devices, edges, seed: seed + index } satisfies Cast);
    return child;
  });
  return {
    ready,
    pids: children.flatMap(({ pid }) => pid ?? []),
    async [Symbol.asyncDispose]() {
      closing = true;
      await Promise.all(children.map(end));
    },
  };
}

/** It ends when nobody listens any more. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  if (child.connected) child.disconnect();
  await gone;
}
