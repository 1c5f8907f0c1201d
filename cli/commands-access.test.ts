// Tokens and keys by the commands: made, used, listed without what they are, taken back.
import { describe, expect, test } from 'vitest';
import { systemClock } from '../runtime/clock.ts';
import { systemIds } from '../runtime/ids.ts';
import { first, json, listen, run, someone } from './commands.fixture.ts';
import { hearing } from './hearing.fixture.ts';
import { runCli } from './program.ts';

describe('tokens and keys', () => {
  test('a token is a user’s; revoked, it is refused, and the commands get another', async () => {
    const user = someone();
    const { token, expires_at: expires } = await first('tokens', 'create', '--user', user, '--ttl', '15m');
    expect(Date.parse(expires) - systemClock.now()).toBeGreaterThan(14 * 60_000);
    expect((await run('inbox', '--user', user, '--token', token)).code).toBe(0);
    // The issuer's second and the revocation's are told apart by the millisecond.
    expect(await first('tokens', 'revoke', '--user', user)).toMatchObject({ user, revoked: true });
    await expect
      .poll(async () => (await run('inbox', '--user', user, '--token', token)).err, { timeout: 10_000 })
      .toMatch(/^carillon: .*revoked.* \(TOKEN_REVOKED\)\n$/);
    expect((await run('inbox', '--user', user)).code).toBe(0);
    expect((await run('tokens', 'create', '--user', user)).out).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect((await run('tokens', 'create', '--user', user, '--ttl', 'soon')).code).toBe(2);
    expect((await run('tokens', 'create', '--user', user, '--ttl', '90d')).err).toMatch(/ttl.*30 days/);
  });

  test('a key opens what its scopes say until it is revoked, and is shown once', async () => {
    const { key, id, prefix } = await first('keys', 'create', '--name', 'shop', '--scopes', 'users:read');
    expect(key).toMatch(/^ck_/);
    expect(key.startsWith(prefix)).toBe(true);
    const withKey = (...argv: string[]) => run(...argv, '--token', key);
    expect((await withKey('users', 'get', 'nobody-at-all')).err).toContain('USER_NOT_FOUND');
    expect((await withKey('send', '--to', 'ada', '--title', 'x')).err).toBe(
      'carillon: Send asks for the scope notifications:send, which this key or token does not have. (PERMISSION_DENIED)\n',
    );
    const listed = await run('keys', 'list', '--json');
    expect(listed.out).toContain(id);
    expect(listed.out).not.toContain(key);
    expect((await run('keys', 'create', '--name', 'x', '--scopes', 'users:reed')).err).toMatch(
      /did you mean users:read/,
    );
    await json('keys', 'revoke', id);
    await expect
      .poll(async () => (await withKey('users', 'get', 'ada')).err, { timeout: 10_000 })
      .toMatch(/\(TOKEN_REVOKED\)/);
    expect((await run('keys', 'list')).out).toMatch(new RegExp(`${id}.*revoked`));
    expect((await run('keys', 'revoke', systemIds.uuid())).err).toContain('API_KEY_NOT_FOUND');
  });

  test('a command that finds no key says what to do, and sends a local key to nobody else', async () => {
    const elsewhere = hearing();
    expect(
      await runCli(['status', systemIds.uuid(), '--ingest', 'http://192.0.2.1:7100'], elsewhere.cli),
    ).toBe(1);
    expect(elsewhere.err).toMatch(
      /^carillon: There is no key for http:\/\/192\.0\.2\.1:7100: say CARILLON_API_KEY .*\(UNAUTHENTICATED\)\n$/,
    );
  });

  test('a stream that is told that its token was revoked goes on with another', async () => {
    const user = someone();
    const stream = listen(user);
    await stream.next('hello');
    await json('tokens', 'revoke', '--user', user);
    await stream.next('hello');
    expect(await stream.stop()).toBe(0);
  });
});
