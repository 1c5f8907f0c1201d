// One key for this machine, which only its owner reads; and commands find it, wherever they are typed.
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { apiKeyId, makeApiKey } from '../runtime/api-key.ts';
import { CarillonError } from '../runtime/errors.ts';
import { listApiKeys, revokeApiKey } from '../storage/api-keys.ts';
import { testDatabase } from '../test/support/database.ts';
import { TEST_SECRET, userToken } from '../test/support/tokens.ts';
import { backendToken, UserTokens } from './credentials.ts';
import { hearing } from './hearing.fixture.ts';
import { ensureLocalKey, readKeyFile } from './local-key.ts';
import { leaveNotes, type Note, noteFor, siblingOf } from './runtime-directory.ts';

async function directory(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'carillon-key-'));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

const reasonOf = (call: Promise<unknown>) =>
  call.then(
    () => 'fine',
    (error: unknown) => (error instanceof CarillonError ? error.reason : String(error)),
  );

describe('the key file', () => {
  test('is made once, read by its owner alone, and known to the store with all scopes', async () => {
    await using t = await testDatabase();
    const path = join(await directory(), 'data', 'local.key');
    await ensureLocalKey(t.db, path);
    const key = (await readKeyFile(path))!;
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await ensureLocalKey(t.db, path);
    expect(await readKeyFile(path)).toBe(key);
    expect(await listApiKeys(t.db, 'default')).toMatchObject([{ id: apiKeyId(key), scopes: ['*'] }]);
    expect(await readdir(join(path, '..'))).toEqual(['local.key']);
  });

  test('of processes that start together is one', async () => {
    await using t = await testDatabase();
    const path = join(await directory(), 'local.key');
    await Promise.all(Array.from({ length: 8 }, () => ensureLocalKey(t.db, path)));
    expect(await listApiKeys(t.db, 'default')).toHaveLength(1);
  });

  test('goes with another database, too, and is replaced when it was revoked or is none', async () => {
    const path = join(await directory(), 'local.key');
    const key = await (async () => {
      await using first = await testDatabase();
      await ensureLocalKey(first.db, path);
      return (await readKeyFile(path))!;
    })();
    await using t = await testDatabase();
    await ensureLocalKey(t.db, path);
    expect(await readKeyFile(path)).toBe(key);
    await revokeApiKey(t.db, 'default', apiKeyId(key)!);
    await ensureLocalKey(t.db, path);
    const second = (await readKeyFile(path))!;
    expect(second).not.toBe(key);
    await writeFile(path, 'not a key\n');
    await chmod(path, 0o644);
    await ensureLocalKey(t.db, path);
    expect(await readKeyFile(path)).not.toBe(second);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });
});

describe('notes of where a key is', () => {
  const note = (more: Partial<Note>): Note => ({
    url: 'http://127.0.0.1:7100',
    role: 'ingest',
    keyFile: '/nowhere/local.key',
    mesh: 'm1',
    pid: process.pid,
    ...more,
  });

  test('are found by address, lead to the others of the same mesh, and go with their process', async () => {
    const environment = { XDG_RUNTIME_DIR: await directory(), TMPDIR: await directory() };
    const edge = note({ role: 'edge', url: 'http://[::1]:7200' });
    const left = leaveNotes(environment, [note({}), edge, note({ url: 'http://127.0.0.1:9', mesh: 'm2' })]);
    expect((await stat(join(environment.XDG_RUNTIME_DIR, 'carillon'))).mode & 0o777).toBe(0o700);
    for (const url of ['http://127.0.0.1:7100', 'http://localhost:7100/'])
      expect(noteFor(environment, url)).toEqual(note({}));
    expect(noteFor(environment, 'http://[::1]:7200')).toEqual(edge);
    expect(siblingOf(environment, edge, 'ingest')).toEqual(note({}));
    expect(siblingOf(environment, edge, 'router')).toBeUndefined();
    expect(noteFor(environment, 'http://127.0.0.1:7101')).toBeUndefined();
    left[Symbol.dispose]();
    expect(noteFor(environment, 'http://127.0.0.1:7100')).toBeUndefined();
    expect(await readdir(join(environment.XDG_RUNTIME_DIR, 'carillon'))).toEqual([]);
  });

  test('of a process that is gone, or of somebody else, are none', async () => {
    const environment = { XDG_RUNTIME_DIR: await directory(), TMPDIR: await directory() };
    // Above every id that Linux or macOS gives out.
    using _left = leaveNotes(environment, [note({ pid: 2 ** 22 + 1 })]);
    expect(noteFor(environment, 'http://127.0.0.1:7100')).toBeUndefined();
    using _mine = leaveNotes(environment, [note({})]);
    expect(noteFor(environment, 'http://127.0.0.1:7100')).toBeDefined();
    const path = join(environment.XDG_RUNTIME_DIR, 'carillon');
    await chmod(path, 0o755);
    expect(noteFor(environment, 'http://127.0.0.1:7100')).toBeUndefined();
    await chmod(path, 0o700);
    await writeFile(join(path, '127.0.0.1-7100.json'), '{"url":');
    expect(noteFor(environment, 'http://127.0.0.1:7100')).toBeUndefined();
  });

  test('are not left where somebody else was first', async () => {
    const environment = { XDG_RUNTIME_DIR: await directory(), TMPDIR: await directory() };
    const theirs = join(environment.XDG_RUNTIME_DIR, 'theirs');
    await mkdir(theirs);
    await symlink(theirs, join(environment.XDG_RUNTIME_DIR, 'carillon'));
    using _left = leaveNotes(environment, [note({})]);
    expect(await readdir(theirs)).toEqual([]);
    // The other directory serves instead.
    expect(noteFor(environment, 'http://127.0.0.1:7100')).toBeDefined();
  });
});

describe('a command calls with', () => {
  const local = 'http://127.0.0.1:1';

  async function place() {
    const environment: Record<string, string> = {
      XDG_RUNTIME_DIR: await directory(),
      TMPDIR: await directory(),
    };
    const { cli } = hearing({ environment });
    return { environment, cli: { ...cli, directory: await directory() } };
  }

  test('what it is told, else the note of the address, else the key of its data directory', async () => {
    const { environment, cli } = await place();
    expect(await reasonOf(backendToken(cli, local, {}))).toBe('UNAUTHENTICATED');
    const [kept, noted] = [makeApiKey().key, makeApiKey().key];
    await mkdir(join(cli.directory, '.carillon'));
    await writeFile(join(cli.directory, '.carillon', 'local.key'), `${kept}\n`);
    expect(await backendToken(cli, local, {})).toBe(kept);
    const keyFile = join(await directory(), 'local.key');
    await writeFile(keyFile, noted);
    const note = { url: local, role: 'ingest', keyFile, mesh: 'm', pid: process.pid } as const;
    using _left = leaveNotes(environment, [note]);
    expect(await backendToken(cli, local, {})).toBe(noted);
    environment.CARILLON_API_KEY = 'from the environment';
    expect(await backendToken(cli, local, {})).toBe('from the environment');
    environment.CARILLON_TOKEN = 'a token';
    expect(await backendToken(cli, local, {})).toBe('a token');
    expect(await backendToken(cli, local, { token: 'said' })).toBe('said');
  });

  test('no key of this machine when it calls another one; with the secret it signs for itself', async () => {
    const { environment, cli } = await place();
    await mkdir(join(cli.directory, '.carillon'));
    await writeFile(join(cli.directory, '.carillon', 'local.key'), makeApiKey().key);
    const remote = 'https://carillon.example.com';
    expect(await reasonOf(backendToken(cli, remote, {}))).toBe('UNAUTHENTICATED');
    environment.CARILLON_JWT_SECRET = TEST_SECRET;
    expect(await backendToken(cli, remote, {})).toMatch(/^ey.*\..*\..*$/);
  });

  test('a user’s token as it is given, else one that the mesh makes, and another before it expires', async () => {
    const { cli } = await place();
    const given = await userToken('ada');
    const bobs = await userToken('bob');
    let made = 0;
    const admin = () => ({ createToken: async () => ({ token: `made ${++made}` }) });
    const tokens = (token?: string) =>
      new UserTokens({ cli, user: 'ada', deviceId: '', options: { token } }, admin);
    expect(await tokens(given).get()).toBe(given);
    expect(() => tokens(bobs).get()).toThrow(/not that of ada, but of bob/);
    expect(made).toBe(0);
    const own = tokens(makeApiKey().key);
    expect(await Promise.all([own.get(), own.get()])).toEqual(['made 1', 'made 1']);
    expect(own.get()).toBe('made 1');
    own.drop();
    expect(await own.get()).toBe('made 2');
  });
});

test('what is written is not said: no key stands in the note', async () => {
  const environment = { XDG_RUNTIME_DIR: await directory(), TMPDIR: await directory() };
  const keyFile = join(await directory(), 'local.key');
  const { key } = makeApiKey();
  await writeFile(keyFile, key);
  const url = 'http://127.0.0.1:7100';
  using _left = leaveNotes(environment, [{ url, role: 'ingest', keyFile, mesh: 'm', pid: process.pid }]);
  const text = await readFile(join(environment.XDG_RUNTIME_DIR, 'carillon', '127.0.0.1-7100.json'), 'utf8');
  expect(text).not.toContain(key.slice(-43));
});
