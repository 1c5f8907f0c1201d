// `carillon up` as a process: its first line, its demo, its end on a signal, and a plain sentence when it cannot start.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bearer } from '../runtime/bearer.ts';
import { LOCAL_KEY } from './local-key.ts';

const FREE = Object.fromEntries(
  ['INGEST', 'EDGE', 'ROUTER', 'WEBHOOK', 'OPS', 'LINK'].map((name) => [`CARILLON_${name}_PORT`, '0']),
);
/** Makes a process take itself for one of Node 20. */
const older = `data:text/javascript,Object.defineProperty(process, 'versions', { value: { node: '20.0.0' } })`;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'carillon-up-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function carillon(args: readonly string[], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'carillon.mjs'), ...args], {
    cwd: directory,
    env: { PATH: process.env.PATH, ...FREE, CARILLON_LOG_LEVEL: 'warn', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code)),
  );
  /** The next line; fails with what was said when there is none. */
  const text = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`it ended with ${await ended}: ${err}`);
    return value;
  };
  return {
    ended,
    stop: (signal: NodeJS.Signals) => void child.kill(signal),
    get err() {
      return err;
    },
    text,
    /** The next line as JSON. */
    line: async (): Promise<Record<string, unknown>> => JSON.parse(await text()),
  };
}

test('the demo shows a user online and then offline, and a signal ends it with 0', async () => {
  const up = carillon(['up', '--demo', '--json', '--data', 'demo']);
  const { addresses } = await up.line();
  expect(addresses).toEqual({
    ingest: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    edge: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    router: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    ops: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
  });
  const events: Record<string, unknown>[] = [];
  while (events.at(-1)?.event !== 'sandbox') events.push(await up.line());
  const arrived = events.filter(({ event }) => event === 'arrived');
  expect(arrived).toHaveLength(3);
  for (const { arrival_ms, ack_ms } of arrived)
    expect(Number(ack_ms)).toBeGreaterThanOrEqual(Number(arrival_ms));
  expect(events.findLast(({ event }) => event === 'state')).toMatchObject({
    channel: 'email',
    state: 'SENT',
  });
  expect(events.at(-1)).toMatchObject({ address: 'demo@example.com', title: 'Your order is at the door' });

  const { ops } = addresses as { ops: string };
  const ready = await fetch(`${ops}/readyz`);
  expect([ready.status, await ready.json()]).toEqual([
    200,
    { ready: true, checks: { database: 'ok', log: 'ok', cluster: 'ok' } },
  ]);
  const metrics = await (await fetch(`${ops}/metrics`)).text();
  expect(metrics).toMatch(/^carillon_accepted_total(\{[^}]*\})? 4$/m);

  const second = carillon(['up', '--json', '--data', 'demo']);
  expect(await second.ended).toBe(1);
  expect(second.err).toMatch(/^carillon: .*\(EMBEDDED_POSTGRES_HELD\)\n$/);
  expect(second.err).toMatch(/\d{2,}/);

  up.stop('SIGTERM');
  expect(await up.ended).toBe(0);
});

test('a port that is taken is named, with what to do', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  const port = typeof address === 'object' ? String(address?.port) : '';
  const up = carillon(['up', '--data', 'taken'], { CARILLON_EDGE_PORT: port });
  expect(await up.ended).toBe(1);
  expect(up.err).toBe(
    `carillon: Port ${port} (CARILLON_EDGE_PORT) is in use on 127.0.0.1: stop what listens there, or set CARILLON_EDGE_PORT to another port, or to 0 for any free one. (PORT_IN_USE)\n`,
  );
  taken.close();
});

test('a data directory that cannot be used is named', async () => {
  await writeFile(join(directory, 'a-file'), '');
  const up = carillon(['up', '--data', 'a-file']);
  expect(await up.ended).toBe(1);
  expect(up.err).toMatch(
    /^carillon: The data directory \S+a-file cannot be used: .*CARILLON_DATA_DIR\. \(CONFIG_INVALID\)\n$/,
  );
});

test.each([['up'], ['migrate']])(
  '%s says which PostgreSQL does not answer, without its password',
  async (name) => {
    const url = 'postgres://ada:geheim@127.0.0.1:1/none';
    const start = carillon([name], { CARILLON_POSTGRES_URL: url });
    expect(await start.ended).toBe(1);
    expect(start.err).toBe(
      'carillon: PostgreSQL at postgres://ada:***@127.0.0.1:1/none (CARILLON_POSTGRES_URL) does not answer: connect ECONNREFUSED 127.0.0.1:1. (STORE_UNAVAILABLE)\n',
    );
  },
);

test('a demo ends with an SMS where a mail server is configured, and its log lines are for people', async () => {
  const server = createServer();
  let connections = 0;
  server.on('connection', (socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const up = carillon(['up', '--demo', '--data', 'smtp'], {
    CARILLON_LOG_LEVEL: '',
    CARILLON_SMTP_URL: `smtp://127.0.0.1:${port}?from=a@example.com`,
  });
  const said: string[] = [];
  while (!said.at(-1)?.includes('in the sandbox')) said.push(await up.text());
  expect(said.at(-1)).toMatch(/an SMS to \+\d+: Your order is at the door/);
  expect(said.filter((line) => line.startsWith('{'))).toEqual([]);
  expect(up.err).not.toContain('{');
  up.stop('SIGINT');
  expect(await up.ended).toBe(0);
  expect(connections).toBe(0);
  server.close();
});

test('what was accepted is there after a kill -9 and another start', async () => {
  const one = carillon(['up', '--json', '--data', 'kept']);
  const { addresses } = (await one.line()) as { addresses: { ingest: string } };
  const key = (await readFile(join(directory, 'kept', LOCAL_KEY), 'utf8')).trim();
  const call = async (ingest: string, method: string, body: unknown) => {
    const response = await fetch(`${ingest}/carillon.v1.IngestService/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...bearer(key) },
      body: JSON.stringify(body),
    });
    return await response.json();
  };
  const request = {
    idempotencyKey: 'once',
    notification: { audience: { users: { ids: ['ada'] } }, content: { title: 'Hello' } },
  };
  const { notificationId } = await call(addresses.ingest, 'Send', request);
  one.stop('SIGKILL');
  expect(await one.ended).toBe('SIGKILL');
  const two = carillon(['up', '--json', '--data', 'kept']);
  const { addresses: again } = (await two.line()) as { addresses: { ingest: string } };
  expect(await call(again.ingest, 'Send', request)).toEqual({ notificationId, duplicate: true });
  await expect
    .poll(async () => (await call(again.ingest, 'GetNotification', { notificationId })).status.state, {
      timeout: 20_000,
    })
    .toBe('NOTIFICATION_STATE_EXPANDED');
  two.stop('SIGINT');
  expect(await two.ended).toBe(0);
});

test('a role that needs others elsewhere says what it needs', async () => {
  const serve = carillon(['serve', 'edge'], { CARILLON_POSTGRES_URL: 'postgres://127.0.0.1:1/none' });
  expect(await serve.ended).toBe(1);
  expect(serve.err).toMatch(/needs CARILLON_REDIS_URL.*\(CONFIG_INVALID\)\n$/);
});

test('under an older Node a signal that only the launcher gets ends the mesh, and one Ctrl-C for both is one', async () => {
  for (const both of [false, true]) {
    const child = spawn(
      process.execPath,
      ['--import', older, join(import.meta.dirname, 'carillon.mjs'), 'up', '--json', '--data', 'launched'],
      {
        cwd: directory,
        env: { PATH: process.env.PATH, ...FREE, CARILLON_LOG_LEVEL: 'warn' },
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      },
    );
    await once(child.stdout, 'data');
    process.kill(both ? -child.pid! : child.pid!, 'SIGINT');
    expect(await once(child, 'close')).toEqual([0, null]);
  }
});

test('under an older Node the launcher goes on with the one that is installed beside it', async () => {
  const child = spawn(
    process.execPath,
    ['--import', older, join(import.meta.dirname, 'carillon.mjs'), '--version'],
    {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect([code, out]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
});
