// What a stack remembers in its directory: the ports, and which processes are its own. One command at a time changes it.
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemIds } from '../../runtime/ids.ts';
import { limits } from '../../runtime/limits.ts';
import type { ProcessIdentity } from '../../runtime/process-identity.ts';
import { type Place, type ServiceName, serviceNames } from './service.ts';
import { waitForTurn } from './turn.ts';

interface ServiceState {
  port: number;
  innerPort: number;
  /** Absent while it is stopped. */
  process?: ProcessIdentity;
}

export type StackState = Record<ServiceName, ServiceState>;

/** Named apart from the state, so that a directory somebody names by mistake is never taken for a stack's and emptied. */
const STATE_FILE = 'stack.json';

/** The state of the stack in this directory; undefined when none is there. */
export async function readState(directory: string): Promise<StackState | undefined> {
  const text = await readFile(join(directory, STATE_FILE), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return text === undefined ? undefined : JSON.parse(text);
}

export async function writeState(directory: string, state: StackState): Promise<void> {
  const draft = join(directory, `${STATE_FILE}.${systemIds.uuid()}`);
  await writeFile(draft, `${JSON.stringify(state, undefined, 2)}\n`);
  await rename(draft, join(directory, STATE_FILE));
}

export function placeOf(directory: string, state: StackState, name: ServiceName): Place {
  const { port, innerPort } = state[name];
  return { directory: join(directory, name), port, innerPort };
}

/** Removes what a stack keeps, and nothing else that may lie in the directory. */
export async function removeState(directory: string): Promise<void> {
  for (const name of serviceNames) {
    await rm(join(directory, name), { recursive: true, force: true, maxRetries: 5 });
    await rm(join(directory, `${name}.log`), { force: true });
  }
  await rm(join(directory, STATE_FILE), { force: true });
}

/** Holds the directory for one change; waits while another command works on the same stack. */
export function holdStack(directory: string): Promise<AsyncDisposable> {
  return waitForTurn(directory, limits.stackBusyMs);
}
