// Commands against a mesh of their own, and what they print; for the tests of a file.
import { afterAll, beforeAll, expect } from 'vitest';
import { resolveConfig } from '../runtime/config-load.ts';
import { silentLog } from '../runtime/log.ts';
import { type TestDatabase, testDatabase } from '../test/support/database.ts';
import { type Mesh, startMesh } from './compose.ts';
import { hearing } from './hearing.fixture.ts';
import { runCli } from './program.ts';
import { allRoles } from './roles.ts';

let users = 0;
/** A user whom nobody has used yet. */
export const someone = (): string => `user-${++users}`;

let database: TestDatabase;
let mesh: Mesh;

/** Where the mesh of the file is served. */
export const addresses = (): Mesh['addresses'] => mesh.addresses;

beforeAll(async () => {
  database = await testDatabase({ connections: 2 });
  const { config } = resolveConfig({
    environment: { CARILLON_POSTGRES_URL: database.url, CARILLON_PROVIDER_RETRY_MS: '50,50' },
    options: { ingestPort: 0, edgePort: 0, routerPort: 0, opsPort: 0, linkPort: 0 },
  });
  mesh = await startMesh({ cli: hearing().cli, config, roles: allRoles, log: silentLog });
});

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

/** The addresses that a command takes, by its name. */
function where(argv: readonly string[]): string[] {
  const at = {
    edge: ['listen', 'inbox', 'devices'],
    router: ['edges', 'presence', 'locate'],
    ingest: ['send', 'status', 'why', 'cancel', 'users', 'providers', 'sandbox', 'dlq', 'tokens', 'keys'],
  };
  for (const [target, commands] of Object.entries(at))
    if (commands.includes(argv[0] ?? ''))
      return [`--${target}`, mesh.addresses[target as keyof typeof at] ?? ''];
  return [];
}

export async function run(...argv: string[]) {
  const heard = hearing();
  const code = await runCli([...argv, ...where(argv)], heard.cli);
  return { code, out: heard.out, err: heard.err };
}

/** Runs with --json; fails unless the command succeeds and every line is an object. */
export async function json(...argv: string[]) {
  const { code, out, err } = await run(...argv, '--json');
  expect(err).toBe('');
  expect(code).toBe(0);
  return out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

export const first = async (...argv: string[]) => (await json(...argv))[0];

/** A `listen` that goes on: `next` resolves with the first frame, from now on, that fits. */
export function listen(user: string, ...options: string[]) {
  const end = new AbortController();
  const frames: Record<string, unknown>[] = [];
  let more = () => {};
  const heard = hearing({
    signal: end.signal,
    onOut(text) {
      frames.push(JSON.parse(text));
      more();
    },
  });
  const argv = ['listen', '--user', user, '--json', ...options];
  const ended = runCli([...argv, ...where(argv)], heard.cli);
  return {
    async next(kind: string): Promise<Record<string, unknown>> {
      for (;;) {
        const found = frames.findIndex((frame) => frame.kind === kind);
        if (found >= 0) return frames.splice(found, 1)[0]!;
        const another = new Promise<void>((resolve) => {
          more = resolve;
        });
        const how = await Promise.race([another, ended]);
        if (how !== undefined && !frames.some((frame) => frame.kind === kind))
          throw new Error(`listen ended with ${how}: ${heard.err}`);
      }
    },
    async stop(): Promise<number> {
      end.abort();
      return await ended;
    },
  };
}
