// G7: what one Send costs the server's CPU, authorised, validated and traced, up to the commit queue, beside a bare grpc-js handler.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Bench, type BenchContext, compareCosts, type Row } from './bench.ts';
import type { Calls } from './unary-send/caller.ts';
import type { Serving } from './unary-send/server.ts';

const CALLS = 10_000;
const WARM_UP_CALLS = 20_000;
const here = join(import.meta.dirname, 'unary-send');

/** The next message of a child; rejects when it ends instead. */
async function heard<T>(child: ChildProcess): Promise<T> {
  const gone = new AbortController();
  try {
    const ended = once(child, 'exit', { signal: gone.signal }).then(() => {
      throw new Error('a process of the benchmark ended');
    });
    const [message] = await Promise.race([once(child, 'message', { signal: gone.signal }), ended]);
    return message as T;
  } finally {
    gone.abort();
  }
}

async function run({ rounds, progress, signal }: BenchContext): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const start = (file: string, ...args: string[]) => {
    const child = fork(join(here, file), args, { signal });
    child.on('error', () => undefined);
    stack.defer(() => void child.disconnect());
    return child;
  };
  // Somebody must take the spans of the sampled calls.
  const collector = createServer((request, response) =>
    request.resume().on('end', () => response.end()),
  ).listen(0, '127.0.0.1');
  stack.defer(() => void collector.close());
  await once(collector, 'listening');
  const traced = start('server.ts', 'ours', `http://127.0.0.1:${(collector.address() as AddressInfo).port}`);
  const untraced = start('server.ts', 'ours');
  const bare = start('server.ts', 'bare');
  const caller = start('caller.ts');

  const cpuUs = async (server: ChildProcess) => {
    server.send({});
    return (await heard<{ cpuUs: number }>(server)).cpuUs;
  };
  const perCall = async (server: ChildProcess, serving: Serving, calls: number) => {
    const before = await cpuUs(server);
    caller.send({ ...serving, calls } satisfies Calls);
    await heard(caller);
    return ((await cpuUs(server)) - before) / calls;
  };
  const sides = await Promise.all(
    [traced, untraced, bare].map(async (server) => ({
      server,
      serving: await heard<Serving>(server),
      us: [] as number[],
    })),
  );
  for (const { server, serving } of sides) await perCall(server, serving, WARM_UP_CALLS);
  for (let round = 1; round <= rounds; round++) {
    for (const side of sides) side.us.push(await perCall(side.server, side.serving, CALLS));
    const [a, b, c] = sides.map(({ us }) => us.at(-1)!.toFixed(1));
    progress(`round ${round} of ${rounds}: traced ${a} µs, untraced ${b} µs, bare ${c} µs`);
  }
  const [tracedUs, untracedUs, bareUs] = sides.map(({ us }) => us) as [number[], number[], number[]];
  const row = (name: string, other: number[], target: number) =>
    compareCosts({ goal: 'G7', name, unit: 'cpu_us/call', ours: tracedUs, other, target });
  return [
    row('unary Send, authorised, validated and traced, against a bare handler', bareUs, 0.7),
    row('unary Send, 1 % sampled, against tracing off', untracedUs, 0.95),
  ];
}

export const bench: Bench = {
  name: 'unary-send',
  goals: ['G7'],
  about:
    'server CPU per unary gRPC Send on one port for all protocols, with an API key, validated, traced (1 % sampled), counted and queued, with commits that return at once; ' +
    'against grpc-js alone with a handler that decodes and answers, and against ourselves without tracing. The caller is a grpc-js client in another process, 64 at once.',
  run,
};
