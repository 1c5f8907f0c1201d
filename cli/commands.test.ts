// The commands against a mesh that runs: what a person types comes out as it should, and --json is one object a line.
import { describe, expect, test } from 'vitest';
import { systemClock } from '../runtime/clock.ts';
import { addresses, first, json, listen, run, someone } from './commands.fixture.ts';
import { hearing } from './hearing.fixture.ts';
import { runCli } from './program.ts';

async function status(id: string, state: string) {
  return await expect
    .poll(async () => (await first('status', id)).deliveries[0], { timeout: 20_000, interval: 50 })
    .toMatchObject({ state });
}

test('what is no mesh is told from a mesh that is away', async () => {
  const heard = hearing();
  expect(await runCli(['edges', '--router', addresses().ops], heard.cli)).toBe(1);
  expect(heard.err).toMatch(
    /^carillon: What listens at http:\S+ is not the router port of a mesh .*--router URL\. \(UNREACHABLE\)\n$/,
  );
});

describe('a user who is there', () => {
  test('is shown what was sent, and the ack makes it DELIVERED', async () => {
    const user = someone();
    const stream = listen(user);
    expect(await stream.next('hello')).toMatchObject({ resume: 'RESET', unseen: 0, unread: 0 });
    const { notification_id: id, duplicate } = await first(
      'send',
      '--to',
      user,
      '--title',
      'Hello',
      '--body',
      'world',
      '--data',
      'order=17',
      '--category',
      'greeting',
      '--key',
      user,
    );
    expect(duplicate).toBe(false);
    expect(await stream.next('deliver')).toMatchObject({
      seq: 1,
      notification_id: id,
      title: 'Hello',
      body: 'world',
      data: { order: '17' },
      category: 'greeting',
      lane: 'normal',
    });
    await status(id, 'DELIVERED');
    expect(await first('status', id)).toMatchObject({
      state: 'EXPANDED',
      recipients: 1,
      counts: { DELIVERED: 1 },
      deliveries: [{ user, channel: 'in_app', state: 'DELIVERED', attempts: 0 }],
    });
    expect(await first('presence', user)).toMatchObject({
      user,
      online: true,
      known: true,
      activity: 'foreground',
      edges: [expect.any(String)],
      vanished_at: null,
      devices: [
        { activity: 'foreground', open_for_ms: expect.any(Number), lease_age_ms: expect.any(Number) },
      ],
    });
    expect((await run('presence', user)).out).toMatch(/^online, foreground\n/);
    const again = await first(
      'send',
      '--to',
      user,
      '--title',
      'Hello',
      '--body',
      'world',
      '--data',
      'order=17',
      '--category',
      'greeting',
      '--key',
      user,
    );
    expect(again).toEqual({ notification_id: id, duplicate: true });
    expect(await stream.stop()).toBe(0);
  });

  test('gets the rest after the cursor, and nothing twice', async () => {
    const user = someone();
    const one = listen(user);
    await one.next('hello');
    await first('send', '--to', user, '--title', 'one');
    const { cursor } = await one.next('deliver');
    await one.stop();
    await first('send', '--to', user, '--title', 'two');
    const two = listen(user, '--cursor', String(cursor), '--count', '1');
    expect(await two.next('hello')).toMatchObject({ resume: 'RESUMED' });
    expect(await two.next('deliver')).toMatchObject({ title: 'two', seq: 2 });
    expect(await two.stop()).toBe(0);
  });

  test('sees on this device what was read on another', async () => {
    const user = someone();
    const stream = listen(user, '--no-ack');
    await stream.next('hello');
    const { notification_id: id } = await first(
      'send',
      '--to',
      user,
      '--title',
      'Hello',
      '--channels',
      'in_app',
    );
    await stream.next('deliver');
    expect(await first('inbox', '--user', user)).toMatchObject({
      unread: 1,
      items: [{ notification_id: id, title: 'Hello', read: false }],
    });
    expect(await first('inbox', '--user', user, '--mark-read', id)).toMatchObject({ marked: 1, unread: 0 });
    expect(await stream.next('update')).toMatchObject({ notification_id: id, read: true, unread: 0 });
    expect(await first('inbox', '--user', user, '--unread')).toMatchObject({ items: [] });
    await status(id, 'OPENED');
    await stream.stop();
  });
});

describe('a user who is away', () => {
  test('is reached by mail when the push token is dead, and why says so', async () => {
    const user = someone();
    await json('users', 'set', user, '--email', 'ada@example.com');
    await json(
      'devices',
      'register',
      'phone',
      '--user',
      user,
      '--platform',
      'sandbox',
      '--token',
      `sandbox:unregistered-${user}`,
    );
    const { notification_id: id } = await first('send', '--to', user, '--title', 'Away');
    await status(id, 'SENT');
    const { deliveries } = await first('status', id);
    expect(deliveries).toMatchObject([{ user, channel: 'email', state: 'SENT', attempts: 2 }]);
    expect(await json('sandbox', 'list', '--user', user)).toMatchObject([
      { notification_id: id, user, channel: 'email', address: 'ada@example.com', title: 'Away' },
    ]);
    const { decisions } = await first('why', id, '--user', user);
    expect(decisions.length).toBeGreaterThan(2);
    expect(JSON.stringify(decisions)).toMatch(/UNREGISTERED/);
    expect((await run('why', id, '--user', user)).out).toMatch(/email/);
    const absent = { online: false, edges: [], activity: 'unspecified', devices: [] };
    expect(await first('presence', user)).toMatchObject(absent);
    expect((await run('presence', user)).out).toMatch(/^offline/);
  });

  test('whose mail used up its tries has a dead letter, which can be replayed', async () => {
    const user = someone();
    await json('users', 'set', user, '--email', 'ada+transient@example.com');
    const { notification_id: id } = await first(
      'send',
      '--to',
      user,
      '--title',
      'Hello',
      '--channels',
      'email',
    );
    await status(id, 'DEAD');
    const letters = await json('dlq', 'list');
    const letter = letters.find((each) => each.notification_id === id);
    expect(letter).toMatchObject({ user, channel: 'email', source: 'provider' });
    await json('users', 'set', user, '--email', 'ada@example.com');
    expect(await first('dlq', 'replay', letter.id)).toEqual({ replayed: 1 });
    await status(id, 'SENT');
    expect((await json('dlq', 'list')).some((each) => each.notification_id === id)).toBe(false);
  });

  test('a notification can be cancelled before its time, and not after it went out', async () => {
    const user = someone();
    await json('users', 'set', user, '--email', 'ada@example.com');
    const inAnHour = new Date(systemClock.now() + 3_600_000).toISOString();
    const later = await first('send', '--to', user, '--title', 'Later', '--at', inAnHour);
    expect(await first('status', later.notification_id)).toMatchObject({ state: 'SCHEDULED' });
    expect(await first('cancel', later.notification_id)).toMatchObject({ outcome: 'CANCELLED', too_late: 0 });
    expect(await first('status', later.notification_id)).toMatchObject({ state: 'CANCELLED' });
    const now = await first('send', '--to', user, '--title', 'Now', '--channels', 'email');
    await status(now.notification_id, 'SENT');
    expect(await first('cancel', now.notification_id)).toEqual({
      outcome: 'TOO_LATE',
      cancelled: 0,
      too_late: 1,
    });
  });

  test('status --watch tells every change until nothing can change any more', async () => {
    const user = someone();
    await json('users', 'set', user, '--email', 'ada@example.com');
    const { notification_id: id } = await first(
      'send',
      '--to',
      user,
      '--title',
      'Hello',
      '--channels',
      'email',
    );
    const seen = await json('status', id, '--watch');
    expect(seen.at(-1)).toMatchObject({ state: 'EXPANDED', deliveries: [{ state: 'SENT' }] });
  });
});

describe('set-up', () => {
  test('what is not named of a user stays, an empty value clears', async () => {
    const user = someone();
    await json('users', 'set', user, '--email', 'a@example.com', '--phone', '+41441234567');
    await json('users', 'set', user, '--locale', 'de-CH', '--phone', '');
    expect(await first('users', 'get', user)).toMatchObject({
      id: user,
      email: 'a@example.com',
      phone: '',
      locale: 'de-CH',
    });
  });

  test('providers and edges are listed', async () => {
    await expect
      .poll(async () =>
        (await json('providers', 'list'))
          .map(({ name, channel, breaker }) => `${name} ${channel} ${breaker}`)
          .sort(),
      )
      .toEqual(['sandbox email CLOSED', 'sandbox push CLOSED', 'sandbox sms CLOSED']);
    const [edge, router] = await json('edges');
    expect(edge).toMatchObject({ role: 'edge', linked: true, share: 1, weight: 1, url: addresses().edge });
    expect(edge.view_hash).toBe(edge.view.hash);
    expect(router).toMatchObject({ role: 'router', view: edge.view });
    const user = someone();
    expect(await first('locate', user)).toEqual({ user, node: edge.node, url: edge.url, view: edge.view });
  });
});

describe('every port says why it refuses', () => {
  test.each([
    ['ingest', 'carillon.v1.IngestService/Send', '{bad', 400, 'INVALID_REQUEST'],
    ['ingest', 'carillon.v1.AdminService/GetUser', '{}', 401, 'UNAUTHENTICATED'],
    ['edge', 'carillon.v1.EdgeService/ListInbox', '{bad', 400, 'INVALID_REQUEST'],
    ['edge', 'carillon.v1.EdgeService/ListInbox', '{}', 401, 'UNAUTHENTICATED'],
    ['router', 'carillon.v1.RouterService/GetPresence', '{bad', 400, 'INVALID_REQUEST'],
    ['router', 'carillon.v1.RouterService/Locate', '{}', 401, 'UNAUTHENTICATED'],
  ] as const)('%s: %s %s', async (port, method, body, status, reason) => {
    const response = await fetch(`${addresses()[port]}/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const { details } = (await response.json()) as { details?: { debug?: { reason?: string } }[] };
    expect([response.status, details?.[0]?.debug?.reason]).toEqual([status, reason]);
  });

  test.each(['ingest', 'edge', 'router'] as const)('%s answers the health check', async (port) => {
    const response = await fetch(`${addresses()[port]}/grpc.health.v1.Health/Check`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(await response.json()).toEqual({ status: 'SERVING' });
  });
});

describe('errors are one sentence with a reason, and a code', () => {
  const unknown = '0199c5b6-0000-7000-8000-000000000000';
  test.each([
    [['status', unknown], 1, /NOTIFICATION_NOT_FOUND/],
    [['status', 'x'], 1, /INVALID_REQUEST/],
    [['why', unknown, '--user', 'ada'], 1, /NOT_FOUND/],
    [['users', 'get', 'nobody-at-all'], 1, /USER_NOT_FOUND/],
    [['users', 'set', 'ada', '--email', 'nonsense'], 1, /email.*INVALID_REQUEST/s],
    [['users', 'set', 'ada', '--phone', '12'], 1, /phone: must be .*E\.164.*INVALID_REQUEST/s],
    [['send', '--to', 'ada'], 2, /Say what to send: --title, --body or both.*USAGE/s],
    [['send', '--title', 'x'], 2, /--to.*USAGE/],
    [
      ['send', '--to', 'ada', '--title', 'x', '--lane', 'fast'],
      2,
      /lane fast is not known; it is one of critical, normal, bulk/,
    ],
    [['send', '--to', 'ada', '--title', 'x', '--at', 'tomorrow'], 2, /--at takes a time/],
    [['send', '--to', 'ada', '--titel', 'x'], 2, /--titel.*title.*USAGE/s],
    [['listen', '--user', 'ada', '--cursor', 'nonsense'], 1, /CURSOR_MALFORMED/],
    [['dlq', 'replay'], 2, /USAGE/],
    [['sned'], 2, /sned.*send.*USAGE/s],
  ] as const)('carillon %s', async (argv, code, said) => {
    const result = await run(...argv);
    expect(result).toMatchObject({ code, out: '' });
    expect(result.err).toMatch(/^carillon: [^\n]+\([A-Z_]+\)\n/);
    expect(result.err).toMatch(said);
  });

  test('nobody there is said with the address', async () => {
    const heard = hearing();
    const code = await runCli(
      ['send', '--to', 'ada', '--title', 'x', '--ingest', 'http://127.0.0.1:1'],
      heard.cli,
    );
    expect(code).toBe(1);
    expect(heard.err).toMatch(
      /Nothing answers at http:\/\/127\.0\.0\.1:1: start the mesh with carillon up.*\(UNREACHABLE\)/,
    );
  });
});
