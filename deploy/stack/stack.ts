// Real PostgreSQL, Apache Kafka and Redis as one thing: up, down, and each of them stopped, started or killed by itself.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CarillonError } from '../../runtime/errors.ts';
import { isAlive, type ProcessIdentity } from '../../runtime/process-identity.ts';
import { kafka } from './kafka.ts';
import { freePorts } from './ports.ts';
import { postgres } from './postgres.ts';
import { redis } from './redis.ts';
import { end, kill, type Lifetime, run, type Service, type ServiceName, serviceNames } from './service.ts';
import { holdStack, placeOf, readState, removeState, type StackState, writeState } from './state.ts';

const services: Record<ServiceName, Service> = { postgres, kafka, redis };

export interface StackAddresses {
  readonly postgresUrl: string;
  /** `host:port`, several separated by commas. */
  readonly kafkaBrokers: string;
  readonly redisUrl: string;
}

export interface StackOptions {
  /** Keeps the state; default: a new temporary directory, removed at the end. */
  readonly directory?: string;
  /** Default: free ones. Only looked at when the directory has no stack yet. */
  readonly ports?: Partial<Record<ServiceName, number>>;
  /** Default `guarded`: gone with this process, whatever ends it. */
  readonly lifetime?: Lifetime;
  /** Gets a line when something takes long. */
  readonly log?: (line: string) => void;
}

/** One service of a running stack; port and data stay the same over all of it. Each call may come at any time, twice too. */
interface ServiceControl {
  stop(): Promise<void>;
  start(): Promise<void>;
  /** kill -9 */
  kill(): Promise<void>;
}

export interface Stack extends StackAddresses, AsyncDisposable {
  readonly directory: string;
  readonly postgres: ServiceControl;
  readonly kafka: ServiceControl;
  readonly redis: ServiceControl;
  /** Ends all three and removes what they kept. */
  stop(): Promise<void>;
}

export interface ServiceStatus {
  name: ServiceName;
  up: boolean;
  port: number;
  pid: number | undefined;
}

async function newState(ports: StackOptions['ports'] = {}): Promise<StackState> {
  const [first = 0, second = 0, third = 0, inner = 0] = await freePorts(4);
  return {
    postgres: { port: ports.postgres ?? first, innerPort: 0 },
    kafka: { port: ports.kafka ?? second, innerPort: inner },
    redis: { port: ports.redis ?? third, innerPort: 0 },
  };
}

/** Starts those of the services that are not up; what it started is ended again when one of them does not come up. */
async function startServices(
  directory: string,
  state: StackState,
  names: readonly ServiceName[],
  options: StackOptions,
): Promise<void> {
  const lifetime = options.lifetime ?? 'guarded';
  const started: ServiceName[] = [];
  const outcomes = await Promise.allSettled(
    names.map(async (name) => {
      const running = state[name].process;
      if (running && (await isAlive(running))) return;
      started.push(name);
      const record = async (process: ProcessIdentity) => {
        state[name].process = process;
        await writeState(directory, state);
      };
      await run(
        services[name],
        placeOf(directory, state, name),
        lifetime,
        options.log ?? (() => undefined),
        record,
      );
      options.log?.(`${name}: up on port ${state[name].port}`);
    }),
  );
  const causes = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  if (causes.length === 0) return;
  await stopServices(directory, state, started);
  if (causes.length === 1) throw causes[0];
  // All that is missing at once, not one thing after each attempt.
  const said = causes.map((cause) => (cause instanceof Error ? cause.message : String(cause)));
  throw new CarillonError('STACK_UNAVAILABLE', said.join(' '), { cause: new AggregateError(causes) });
}

async function stopServices(
  directory: string,
  state: StackState,
  names: readonly ServiceName[],
  hard = false,
): Promise<void> {
  await Promise.all(
    names.map(async (name) => {
      const running = state[name].process;
      if (running) await (hard ? kill(running) : end(services[name], running));
      delete state[name].process;
    }),
  );
  await writeState(directory, state);
}

async function addresses(directory: string, state: StackState): Promise<StackAddresses> {
  const address = (name: ServiceName) => services[name].address(placeOf(directory, state, name));
  return {
    postgresUrl: await address('postgres'),
    kafkaBrokers: await address('kafka'),
    redisUrl: await address('redis'),
  };
}

/** Brings the stack of a directory up, all of it that is not up already, and resolves when each answers. */
export async function stackUp(directory: string, options: StackOptions): Promise<StackAddresses> {
  await using _held = await holdStack(directory);
  const state = (await readState(directory)) ?? (await newState(options.ports));
  for (const name of serviceNames) {
    const wanted = options.ports?.[name] ?? state[name].port;
    if (wanted === state[name].port) continue;
    throw new CarillonError(
      'STACK_UNAVAILABLE',
      `The stack in ${directory} has ${name} on port ${state[name].port}, not ${wanted}: take it down first.`,
    );
  }
  await writeState(directory, state);
  await startServices(directory, state, serviceNames, options);
  return await addresses(directory, state);
}

/** Ends what the stack of this directory started, nothing else, and removes its data; false when there is no stack. */
export async function stackDown(directory: string): Promise<boolean> {
  if (!(await readState(directory))) return false;
  await using _held = await holdStack(directory);
  const state = await readState(directory);
  if (!state) return false;
  await stopServices(directory, state, serviceNames);
  await removeState(directory);
  return true;
}

/** What runs; undefined when there is no stack in this directory. */
export async function stackStatus(directory: string): Promise<ServiceStatus[] | undefined> {
  const state = await readState(directory);
  if (!state) return undefined;
  const status = serviceNames.map(async (name) => {
    const { port, process } = state[name];
    const up = process !== undefined && (await isAlive(process));
    return { name, up, port, pid: up ? process.pid : undefined };
  });
  return await Promise.all(status);
}

/** Stops, starts or kills some services of a stack that is there; false when there is none. */
export async function stackControl(
  directory: string,
  action: 'start' | 'stop' | 'kill',
  names: readonly ServiceName[],
  options: StackOptions,
): Promise<boolean> {
  if (!(await readState(directory))) return false;
  await using _held = await holdStack(directory);
  const state = await readState(directory);
  if (!state) return false;
  if (action === 'start') await startServices(directory, state, names, options);
  else await stopServices(directory, state, names, action === 'kill');
  return true;
}

/**
 * Starts the three services at once, each on a port of its own on loopback (8-15 s, of which Kafka is the most).
 * Throws STACK_UNAVAILABLE with what is missing on this machine.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const temporary = options.directory === undefined;
  const directory = resolve(options.directory ?? (await mkdtemp(join(tmpdir(), 'carillon-stack-'))));
  const removeDirectory = async () => {
    if (temporary && (await readdir(directory).catch(() => [''])).length === 0)
      await rm(directory, { recursive: true });
  };
  const found = await stackUp(directory, options).catch(async (error) => {
    if (temporary) await stackDown(directory);
    await removeDirectory();
    throw error;
  });
  const control = (name: ServiceName): ServiceControl => {
    const act = async (action: 'start' | 'stop' | 'kill') => {
      await stackControl(directory, action, [name], options);
    };
    return { start: () => act('start'), stop: () => act('stop'), kill: () => act('kill') };
  };
  const stop = async () => {
    await stackDown(directory);
    await removeDirectory();
  };
  return {
    ...found,
    directory,
    postgres: control('postgres'),
    kafka: control('kafka'),
    redis: control('redis'),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
