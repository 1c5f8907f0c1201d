// A real Redis of one's own: to be emptied, killed, paused and started again without anybody else noticing.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../deploy/stack/ports.ts';
import { redis } from '../../deploy/stack/redis.ts';
import { end, kill, run } from '../../deploy/stack/service.ts';
import { type ProcessIdentity, signalProcess } from '../../runtime/process-identity.ts';

export interface OwnRedis extends AsyncDisposable {
  readonly url: string;
  start(): Promise<void>;
  /** In good order: what it had it has again after `start`. */
  stop(): Promise<void>;
  /** kill -9, and its data is gone. */
  lose(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
}

/** Starts it; gone with this process, whatever ends it. Throws STACK_UNAVAILABLE without a redis-server. */
export async function startOwnRedis(): Promise<OwnRedis> {
  const parent = await mkdtemp(join(tmpdir(), 'carillon-redis-'));
  const [port = 0] = await freePorts(1);
  const place = { directory: join(parent, 'redis'), port, innerPort: 0 };
  let running: ProcessIdentity | undefined;
  const start = () =>
    run(
      redis,
      place,
      'guarded',
      () => undefined,
      async (identity) => {
        running = identity;
      },
    );
  const signal = async (name: NodeJS.Signals) => {
    if (running) await signalProcess(running, name);
  };
  const lose = async () => {
    if (running) await kill(running);
    running = undefined;
    await rm(place.directory, { recursive: true, force: true, maxRetries: 5 });
  };
  await start();
  return {
    url: await redis.address(place),
    start,
    async stop() {
      if (running) await end(redis, running);
      running = undefined;
    },
    lose,
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    async [Symbol.asyncDispose]() {
      await lose();
      await rm(parent, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
