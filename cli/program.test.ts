// Every command explains itself: what it does, its options, an example; and none of them needs a mesh for that.
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { hearing } from './hearing.fixture.ts';
import { createProgram, runCli, version } from './program.ts';

function leaves(command: Command, path: string[] = []): { path: string[]; command: Command }[] {
  if (command.commands.length === 0) return [{ path, command }];
  return command.commands.flatMap((each) => leaves(each, [...path, each.name()]));
}

const all = leaves(createProgram(hearing().cli));

test('there is a command for everything that the mesh can do', () => {
  expect(all.map(({ path }) => path.join(' '))).toEqual(
    expect.arrayContaining([
      'up',
      'serve',
      'send',
      'listen',
      'status',
      'why',
      'cancel',
      'inbox',
      'users set',
      'users get',
      'providers list',
      'providers set',
      'providers test',
      'providers delete',
      'providers rotate-key',
      'sandbox list',
      'dlq list',
      'dlq replay',
      'edges',
      'presence',
      'locate',
      'config check',
      'config show',
      'migrate',
      'doctor',
    ]),
  );
});

test.each(all.map(({ path }) => path))(
  'carillon %s … --help has a sentence, --json and an example',
  async (...path) => {
    const said = hearing();
    expect(await runCli([...path, '--help'], said.cli)).toBe(0);
    expect(said.out).toMatch(new RegExp(`^Usage: carillon ${path.join(' ')} `));
    expect(said.out).toContain('--json');
    expect(said.out).toMatch(new RegExp(`Example:\\n {2}\\$ carillon ${path.join(' ')}`));
  },
);

test('carillon --help lists the commands, --version the version', async () => {
  const help = hearing();
  expect(await runCli(['--help'], help.cli)).toBe(0);
  for (const name of new Set(all.map(({ path }) => path[0])))
    expect(help.out).toMatch(new RegExp(`^ {2}${name}\\b`, 'm'));
  const asked = hearing();
  expect(await runCli(['--version'], asked.cli)).toBe(0);
  expect(asked.out).toBe(`${version}\n`);
});

test('config check and config show say what is in force, and what cannot be', async () => {
  const good = hearing({ environment: { CARILLON_POSTGRES_URL: 'postgres://u:geheim@h/d' } });
  expect(await runCli(['config', 'check', '--json'], good.cli)).toBe(0);
  expect(JSON.parse(good.out)).toEqual({ ok: true });
  const shown = hearing({ environment: { CARILLON_POSTGRES_URL: 'postgres://u:geheim@h/d' } });
  expect(await runCli(['config', 'show', '--json'], shown.cli)).toBe(0);
  const lines = shown.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines).toContainEqual({
    name: 'CARILLON_POSTGRES_URL',
    value: 'postgres://u:***@h/d',
    origin: 'environment',
  });
  expect(lines).toContainEqual({ name: 'CARILLON_INGEST_PORT', value: 7100, origin: 'default' });
  const bad = hearing({ environment: { CARILLON_POSTGRE_URL: 'x' } });
  expect(await runCli(['config', 'check'], bad.cli)).toBe(1);
  expect(bad.err).toBe(
    'carillon: CARILLON_POSTGRE_URL is not a setting that Carillon knows; did you mean CARILLON_POSTGRES_URL? (CONFIG_INVALID)\n',
  );
});

test('a start beyond loopback is refused before anything is opened', async () => {
  const said = hearing({ environment: { CARILLON_HOST: '0.0.0.0' } });
  expect(await runCli(['up'], said.cli)).toBe(1);
  expect(said.err).toMatch(
    /CARILLON_HOST is 0.0.0.0, which other machines may reach.*CARILLON_JWT_SECRET.*\(CONFIG_INVALID\)/,
  );
});
