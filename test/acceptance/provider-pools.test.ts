// Providers of a mesh that runs: what a person configures changes where mail goes, without a restart, and no secret is left lying about.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hearing } from '../../cli/hearing.fixture.ts';
import { runCli } from '../../cli/program.ts';
import { AdminService } from '../../gen/carillon/v1/admin_pb.ts';
import { IngestService } from '../../gen/carillon/v1/ingest_pb.ts';
import { Channel, DeliveryState } from '../../gen/carillon/v1/notification_pb.ts';
import { type MailServer, startMailServer } from '../../providers/mail-server.fixture.ts';
import { type RunningMesh, startRunningMesh } from '../support/running-mesh.ts';
import { backendTransport } from '../support/transports.ts';
import { until } from '../support/until.ts';

const PASSWORD = 'the-password-of-a-mailbox-31415';
const user = { name: 'me', password: PASSWORD };

const owned = new AsyncDisposableStack();
let mesh: RunningMesh;
let one: MailServer;
let two: MailServer;

beforeAll(async () => {
  one = owned.use(await startMailServer({ user }));
  two = owned.use(await startMailServer({ user }));
  mesh = owned.use(await startRunningMesh());
  await createClient(AdminService, backendTransport(mesh.ingest)).putUser({
    user: { id: 'ada', email: 'ada@example.com' },
  });
}, 120_000);
afterAll(() => owned.disposeAsync());

async function providers(environment: Record<string, string>, ...argv: string[]) {
  const heard = hearing({ environment });
  const code = await runCli(
    ['providers', ...argv, '--ingest', mesh.ingest, '--token', mesh.apiKey],
    heard.cli,
  );
  return { code, out: heard.out, err: heard.err };
}

async function fine(...argv: string[]): Promise<string> {
  const { code, out, err } = await providers({}, ...argv);
  expect(`${code} ${err}`).toBe('0 ');
  return out;
}

const smtpAt = (server: MailServer) => [
  `--setting=url=smtp://me@127.0.0.1:${server.port}?from=shop@example.com`,
  `--setting=password=${PASSWORD}`,
];

/** Sends a mail and waits until a provider has taken it; where it lies then. */
async function mail(): Promise<'one' | 'two' | 'sandbox'> {
  const before = { one: one.mails.length, two: two.mails.length };
  const ingest = createClient(IngestService, backendTransport(mesh.ingest));
  const { notificationId } = await ingest.send({
    notification: {
      audience: { kind: { case: 'users', value: { ids: ['ada'] } } },
      content: { title: 'Your order', body: 'It is on its way.' },
      channels: [Channel.EMAIL],
    },
  });
  await until('sent mail', async () => {
    const { deliveries } = await ingest.explain({ notificationId, userId: 'ada' });
    return deliveries[0]?.state === DeliveryState.SENT || undefined;
  });
  if (one.mails.length > before.one) return 'one';
  return two.mails.length > before.two ? 'two' : 'sandbox';
}

/** The change arrives within seconds: a mail after it may still go where the one before went. */
const goesTo = (where: Awaited<ReturnType<typeof mail>>) =>
  until(`mail to ${where}`, async () => ((await mail()) === where ? where : undefined), 15_000);

test('set, drain, enable and delete move the mail of a mesh that runs', async () => {
  expect(await mail()).toBe('sandbox');
  expect(await fine('set', 'smtp', '--name', 'one', ...smtpAt(one))).toMatch(
    /^one \(smtp\) is in the pool of email/,
  );
  await goesTo('one');

  await fine('set', 'smtp', '--name', 'two', '--position', '1', ...smtpAt(two));
  await fine('set', 'smtp', '--name', 'one', '--drain');
  await goesTo('two');
  expect(await mail()).toBe('two');

  await fine('set', 'smtp', '--name', 'one', '--enable');
  await goesTo('one');
  await fine('delete', 'one');
  await goesTo('two');
  await fine('delete', 'two');
  await goesTo('sandbox');
}, 120_000);

test('one that refuses is gone past while the next one takes its mail', async () => {
  one.script.user = { ...user, password: 'another' };
  await fine('set', 'smtp', '--name', 'one', ...smtpAt(one));
  await fine('set', 'smtp', '--name', 'two', '--position', '1', ...smtpAt(two));
  await goesTo('two');
  const tested = await providers({}, 'test', 'one', '--to', 'ada@example.com');
  expect(tested).toMatchObject({ code: 1, out: '' });
  expect(tested.err).toMatch(/one did not take the message \(config\): .*\(PROVIDER_REFUSED\)/);
  expect(await fine('test', 'two', '--to', 'ada@example.com')).toMatch(/^sent in \d+ ms as /);
  await until('breaker in the list', async () => {
    const lines = (await fine('list', '--json')).trim().split('\n');
    const listed = lines.map((line) => JSON.parse(line)).find(({ name }) => name === 'two');
    return listed?.breaker === 'CLOSED' && listed.position === 1 ? true : undefined;
  });
  const shown = await fine('list');
  expect(shown).toMatch(/^channel +provider +kind +position +weight +state +rate +reported +process$/m);
  expect(shown).toMatch(/^email +two +smtp +1 +1 +CLOSED .* password=\*\*\*$/m);
  expect(shown).not.toContain(PASSWORD);
  expect(await fine('rotate-key')).toMatch(/^0 data keys /);
  const metrics = await (await fetch(`${mesh.ops}/metrics`)).text();
  expect(metrics).toMatch(/carillon_breaker_state\{provider="two"\} 0/);
  expect(metrics).toMatch(/carillon_provider_rate\{provider="two"\} 0/);
  one.script.user = user;
  await fine('delete', 'one');
  await fine('delete', 'two');
}, 120_000);

test('settings come from the environment, under the names of the kind', async () => {
  const environment = {
    SMTP_URL: `smtp://me@127.0.0.1:${two.port}?from=shop@example.com`,
    SMTP_PASSWORD: PASSWORD,
  };
  const { code, out } = await providers(environment, 'set', 'smtp', '--from-env', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    name: 'smtp',
    channel: 'email',
    settings: { url: environment.SMTP_URL, password: '***' },
  });
  await goesTo('two');
  const none = await providers({}, 'set', 'smtp', '--from-env');
  expect(none).toMatchObject({ code: 2, err: expect.stringContaining('SMTP_URL, SMTP_PASSWORD') });
  await fine('delete', 'smtp');
}, 120_000);

test('the master key lies beside the data for its owner alone, and no secret stands in the log', async () => {
  const path = join(mesh.directory, 'data', 'master.key');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const key = (await readFile(path, 'utf8')).trim();
  const log = await readFile(join(mesh.directory, 'up.log'), 'utf8');
  for (const secret of [PASSWORD, Buffer.from(PASSWORD).toString('base64'), key])
    expect(log).not.toContain(secret);
});
