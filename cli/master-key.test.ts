// Where the master key comes from: what is set, else on this machine alone a file of its own, which is never replaced.
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { resolveConfig, showConfig } from '../runtime/config-load.ts';
import { makeKey } from '../runtime/envelope.ts';
import { silentLog } from '../runtime/log.ts';
import { hearing } from './hearing.fixture.ts';
import { openMasterKeys } from './master-key.ts';

async function directory(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'carillon-master-'));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

function open(environment: Record<string, string>) {
  const { config } = resolveConfig({ environment });
  return openMasterKeys({ cli: hearing().cli, config, log: silentLog });
}

const key = () => makeKey().toString('base64');

test('on loopback with the embedded database one is made, for its owner alone, and stays', async () => {
  const CARILLON_DATA_DIR = join(await directory(), 'data');
  const path = join(CARILLON_DATA_DIR, 'master.key');
  const first = await open({ CARILLON_DATA_DIR });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const text = await readFile(path, 'utf8');
  expect((await open({ CARILLON_DATA_DIR }))?.current).toBe(first?.current);
  expect(await readFile(path, 'utf8')).toBe(text);
  expect((await open({ CARILLON_DATA_DIR, CARILLON_MASTER_KEY: text.trim() }))?.current).toBe(first?.current);
});

test('a file that is no key is left as it is, and the start refused', async () => {
  const CARILLON_DATA_DIR = await directory();
  const path = join(CARILLON_DATA_DIR, 'master.key');
  await writeFile(path, 'half a k');
  await expect(open({ CARILLON_DATA_DIR })).rejects.toMatchObject({
    reason: 'CONFIG_INVALID',
    message: expect.stringContaining(path),
  });
  expect(await readFile(path, 'utf8')).toBe('half a k');
  expect(await open({ CARILLON_DATA_DIR, CARILLON_MASTER_KEY: key() })).toBeDefined();
});

test.each([
  ['another database', { CARILLON_POSTGRES_URL: 'postgres://db/carillon' }],
  ['an address that others reach', { CARILLON_HOST: '0.0.0.0', CARILLON_JWT_SECRET: 'x'.repeat(32) }],
])('with %s none is made', async (_what, environment) => {
  const CARILLON_DATA_DIR = await directory();
  expect(await open({ ...environment, CARILLON_DATA_DIR })).toBeUndefined();
  await expect(stat(join(CARILLON_DATA_DIR, 'master.key'))).rejects.toMatchObject({ code: 'ENOENT' });
});

test('keys of before open what they have sealed, and none of them is shown', async () => {
  const [old, older, present] = [key(), key(), key()];
  const environment = { CARILLON_MASTER_KEY: present, CARILLON_MASTER_KEY_OLD: `${old},${older}` };
  const keys = await open(environment);
  for (const text of [old, older]) {
    const before = await open({ CARILLON_MASTER_KEY: text });
    const wrapped = await before!.wrap(Buffer.from('data key'), ['acme']);
    expect(await keys!.unwrap(wrapped, ['acme'])).toEqual(Buffer.from('data key'));
  }
  const shown = JSON.stringify(showConfig(resolveConfig({ environment })));
  for (const text of [old, older, present]) expect(shown).not.toContain(text);
});

test.each([
  ['CARILLON_MASTER_KEY', 'c2hvcnQ='],
  ['CARILLON_MASTER_KEY_OLD', `${makeKey().toString('base64')},c2hvcnQ=`],
])('%s that is no key refuses the start, without repeating it', (name, value) => {
  const start = () => resolveConfig({ environment: { [name]: value } });
  expect(start).toThrow(new RegExp(`${name} must be 32 random bytes in base64`));
  expect(start).not.toThrow(/c2hvcnQ/);
});
