// Categories as an operator types them: what is not named stays, an empty value clears, and each tenant has its own.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adminMount } from '../../ingest/admin.ts';
import { testCatalog } from '../../providers/catalog.fixture.ts';
import { silentLog } from '../../runtime/log.ts';
import { openPort } from '../../runtime/one-port.ts';
import { testDatabase } from '../../test/support/database.ts';
import { RecordingHandoff } from '../../test/support/recording-handoff.ts';
import { testTokens } from '../../test/support/tokens.ts';
import { hearing } from '../hearing.fixture.ts';
import { runCli } from '../program.ts';

const owned = new AsyncDisposableStack();
let url = '';
const keys: Record<string, string> = {};

beforeAll(async () => {
  const { db } = owned.use(await testDatabase());
  const tokens = await testTokens();
  for (const tenant of ['default', 'other']) keys[tenant] = tokens.backendKey({ tenant }).key;
  const { authenticator } = tokens;
  const mount = adminMount({
    db,
    handoff: new RecordingHandoff(),
    authenticator,
    signToken: undefined,
    ...testCatalog(db),
  });
  const port = owned.use(
    await openPort({ host: '127.0.0.1', port: 0, mounts: [mount], maxMessageBytes: 65_536, log: silentLog }),
  );
  url = `http://127.0.0.1:${port.port}`;
});
afterAll(() => owned.disposeAsync());

async function run(argv: readonly string[], tenant = 'default') {
  const heard = hearing({ environment: { CARILLON_API_KEY: keys[tenant]! } });
  const code = await runCli(['categories', ...argv, '--ingest', url], heard.cli);
  return { code, out: heard.out, err: heard.err };
}

async function json(argv: readonly string[], tenant?: string): Promise<unknown[]> {
  const { code, out, err } = await run([...argv, '--json'], tenant);
  expect(`${code} ${err}`).toBe('0 ');
  return out
    .split('\n')
    .filter(Boolean)
    .map((line): unknown => JSON.parse(line));
}

test('what is said of a category is kept until something else is said', async () => {
  const steps = 'in_app,push:30s,email:3600s:not_read';
  expect(await json(['set', 'orders', '--background', 'stream_and_push', '--linger', '20s'])).toEqual([
    { id: 'orders', background: 'stream_and_push', linger_ms: 20_000, escalation: [] },
  ]);
  const whole = {
    id: 'orders',
    background: 'stream_and_push',
    linger_ms: 20_000,
    escalation: steps.split(','),
  };
  expect(await json(['set', 'orders', '--escalate', steps])).toEqual([whole]);
  await json(['set', 'alerts', '--linger', '0s']);
  expect(await json(['list'])).toEqual([
    { id: 'alerts', background: null, linger_ms: 0, escalation: [] },
    whole,
  ]);
  expect(await json(['set', 'orders', '--background', '', '--linger', '', '--escalate', ''])).toEqual([
    { id: 'orders', background: null, linger_ms: null, escalation: [] },
  ]);
  expect((await run(['list'])).out).toContain('orders    by lane            5 s     in_app, push, email');
  for (const id of ['orders', 'alerts']) expect(await json(['delete', id])).toEqual([{ id, deleted: true }]);
  expect(await run(['list'])).toMatchObject({
    code: 0,
    out: 'No category says anything: all go by the rules of their lane.\n',
  });
});

test('a tenant sees and changes its own categories alone', async () => {
  await json(['set', 'orders', '--linger', '1s']);
  expect(await json(['list'], 'other')).toEqual([]);
  expect(await run(['delete', 'orders'], 'other')).toMatchObject({
    code: 1,
    err: 'carillon: There is no category with this id. (CATEGORY_NOT_FOUND)\n',
  });
  await json(['set', 'orders', '--linger', '2s'], 'other');
  expect(await json(['list'])).toMatchObject([{ id: 'orders', linger_ms: 1_000 }]);
  expect(await json(['list'], 'other')).toMatchObject([{ id: 'orders', linger_ms: 2_000 }]);
});

test.each([
  [['set', 'x', '--linger', '61s'], 1, 'INVALID_REQUEST'],
  [['set', 'x', '--linger', 'soon'], 2, 'USAGE'],
  [['set', 'x', '--background', 'loudly'], 2, 'USAGE'],
  [['set', 'x', '--escalate', 'push,push'], 1, 'INVALID_REQUEST'],
  [['set', 'x', '--escalate', 'pigeon'], 2, 'USAGE'],
  [['set', ''], 1, 'INVALID_REQUEST'],
])('%s is refused', async (argv, code, reason) => {
  const said = await run(argv);
  expect(said.code).toBe(code);
  expect(said.err).toContain(`(${reason})`);
  expect(JSON.stringify(await json(['list']))).not.toContain('"x"');
});
