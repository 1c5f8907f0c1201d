// What becomes of a row on its way through a pool, against a real mail server and the sandbox.
import { describe, expect, it } from 'vitest';
import { Channel, DeliveryState as S } from '../gen/carillon/v1/notification_pb.ts';
import { replayDelivery } from '../storage/end-step.ts';
import { listSandboxMessages } from '../storage/sandbox.ts';
import { testDatabase } from '../test/support/database.ts';
import { insertDelivery, insertUser, seeAttempts, seeRow } from '../test/support/delivery-rows.ts';
import { until } from '../test/support/until.ts';
import { startMailServer } from './mail-server.fixture.ts';
import type { Outcome } from './provider.ts';
import { sandboxProvider } from './sandbox.ts';
import { smtpProvider } from './smtp.ts';
import { FakeProvider, openWorker, recordOf } from './worker.fixture.ts';

const sent: Outcome = { kind: 'sent', messageId: 'm' };
const smtpTo = (port: number) => smtpProvider({ url: `smtp://127.0.0.1:${port}?from=news@mesh.example` });
const dueInMs = (row: { dueAt: Date | null }, clock: { now(): number }) => row.dueAt!.getTime() - clock.now();

describe('mail of an offline user', () => {
  it('arrives at a real mail server with our id in its headers', async () => {
    await using server = await startMailServer();
    await using w = await openWorker({ providers: [smtpTo(server.port)] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    await w.reaches(key, S.SENT);
    const [attempt] = await seeAttempts(w.db, key);
    expect(attempt).toMatchObject({ provider: 'smtp', address: 'ada@example.org', outcome: 'sent' });
    expect(server.mails[0]!.raw).toContain(`X-Carillon-Attempt: ${attempt!.id}`);
    expect(server.mails[0]!.raw).toContain(`X-Carillon-Notification: ${key.notificationId}`);
    const page = await w.metrics.expose();
    expect(page).toMatch(/carillon_attempts_total\{[^}]*outcome="sent"[^}]*\} 1/);
    expect(page).toMatch(/carillon_deliveries_total\{[^}]*state="SENT"[^}]*\} 1/);
    expect(page).toMatch(/carillon_delivery_duration_seconds_count\{[^}]*channel="email"[^}]*\} 1/);
  });

  it('is retried by the schedule while the server answers 4xx', async () => {
    let refusals = 2;
    await using server = await startMailServer({
      onMessage: () => (refusals-- > 0 ? { code: 451, text: '4.3.0 come back later' } : undefined),
    });
    await using w = await openWorker({ providers: [smtpTo(server.port)] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    const retried = async (tries: number) => {
      const row = await seeRow(w.db, key);
      return row.state === S.QUEUED && row.tries === tries ? row : undefined;
    };
    const first = await until('first retry', () => retried(1));
    expect(first.reason).toContain('451 4.3.0 come back later');
    expect(dueInMs(first, w.clock)).toBe(60_000);
    // A record that comes again does not hurry it.
    await w.log.push([recordOf(key)]);
    expect(server.complete).toBe(1);
    const second = await w.passes(60_000, 'second retry', () => retried(2));
    expect(server.complete).toBe(2);
    expect(dueInMs(second, w.clock)).toBeGreaterThan(290_000);
    await w.passes(300_000, 'sent mail', async () =>
      (await seeRow(w.db, key)).state === S.SENT ? true : undefined,
    );
    expect(server.mails).toHaveLength(1);
    expect((await seeAttempts(w.db, key)).map(({ outcome }) => outcome)).toEqual([
      'transient',
      'transient',
      'sent',
    ]);
    expect(await w.metrics.expose()).toMatch(/carillon_retries_total 2/);
  });

  it('fails at once on 5xx, with what the server said', async () => {
    await using server = await startMailServer({
      onRecipient: () => ({ code: 550, text: '5.1.1 there is nobody of that name' }),
    });
    await using w = await openWorker({ providers: [smtpTo(server.port)] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    const row = await w.reaches(key, S.FAILED);
    expect(row.reason).toContain('550 5.1.1 there is nobody of that name');
    expect(row.dueAt).toBeNull();
  });

  it('is dead when all tries are used up, and a replay sends it', async () => {
    const provider = new FakeProvider('a', () => ({ kind: 'transient', reason: 'later' }));
    await using w = await openWorker({ providers: [provider], retryMs: [1_000, 2_000] });
    await insertUser(w.db);
    const key = await insertDelivery(w.db);
    await w.log.push([recordOf(key)]);
    await w.passes(0, 'dead row', async () =>
      (await seeRow(w.db, key)).state === S.DEAD ? true : undefined,
    );
    expect(provider.calls).toHaveLength(3);
    expect((await seeRow(w.db, key)).reason).toBe('a: later');
    provider.answer = () => sent;
    const record = await w.db.transaction((tx) => replayDelivery(tx, key, new Date(w.clock.now())));
    await w.log.push([record!]);
    await w.reaches(key, S.SENT);
    expect(provider.calls).toHaveLength(4);
  });

  it('ends as FAILED when the user has no address, or nobody serves it', async () => {
    await using w = await openWorker({
      providers: [new FakeProvider('a')],
      channels: [Channel.EMAIL, Channel.SMS],
    });
    await insertUser(w.db, { id: 'bob', email: '', phone: '+41441234567' });
    const none = await insertDelivery(w.db, { user: 'bob' });
    const unserved = await insertDelivery(w.db, { user: 'bob', channels: [Channel.SMS] });
    await w.log.push([recordOf(none), recordOf(unserved)]);
    expect((await w.reaches(none, S.FAILED)).reason).toContain('no address');
    expect((await w.reaches(unserved, S.FAILED)).reason).toContain('no provider');
  });
});

describe('a push', () => {
  it('whose device is unregistered becomes an email, in the sandbox', async () => {
    await using t = await testDatabase();
    await using w = await openWorker(
      {
        providers: [
          sandboxProvider({ db: t.db, channel: Channel.PUSH }),
          sandboxProvider({ db: t.db, channel: Channel.EMAIL }),
        ],
      },
      t,
    );
    await insertUser(t.db, { tokens: ['sandbox:unregistered-1'] });
    const key = await insertDelivery(t.db, { channels: [Channel.PUSH, Channel.EMAIL] });
    await w.log.push([recordOf(key)]);
    const row = await w.reaches(key, S.SENT);
    expect(row).toMatchObject({ step: 1, stepChannel: Channel.EMAIL, attempts: 2 });
    expect(await listSandboxMessages(t.db, { tenant: 'default', count: 10 })).toMatchObject([
      { channel: Channel.EMAIL, address: 'ada@example.org', notificationId: key.notificationId },
    ]);
    expect((await seeAttempts(t.db, key)).map(({ outcome }) => outcome)).toEqual(['permanent', 'sent']);
  });

  it('goes to all devices, and is sent when one took it', async () => {
    const provider = new FakeProvider(
      'a',
      ({ address }) =>
        address.kind === 'device' && address.token === 'good'
          ? sent
          : { kind: 'permanent', reason: 'gone', address: 'gone' },
      Channel.PUSH,
    );
    await using w = await openWorker({ providers: [provider] });
    await insertUser(w.db, { tokens: ['bad', 'good', 'worse'] });
    const key = await insertDelivery(w.db, { channels: [Channel.PUSH] });
    await w.log.push([recordOf(key)]);
    expect(await w.reaches(key, S.SENT)).toMatchObject({ tries: 1, attempts: 3 });
    expect((await seeAttempts(w.db, key)).map(({ outcome }) => outcome).sort()).toEqual([
      'permanent',
      'permanent',
      'sent',
    ]);
  });

  it('is tried again only on devices that did not refuse it for good', async () => {
    const provider = new FakeProvider(
      'a',
      ({ address }, call) => {
        if (address.kind === 'device' && address.token === 'bad')
          return { kind: 'permanent', reason: 'gone', address: 'gone' };
        return call <= 2 ? { kind: 'transient', reason: 'later' } : sent;
      },
      Channel.PUSH,
    );
    await using w = await openWorker({ providers: [provider], retryMs: [1_000] });
    await insertUser(w.db, { tokens: ['bad', 'good'] });
    const key = await insertDelivery(w.db, { channels: [Channel.PUSH] });
    await w.log.push([recordOf(key)]);
    await w.passes(0, 'sent', async () => ((await seeRow(w.db, key)).state === S.SENT ? true : undefined));
    expect(provider.calls).toHaveLength(3);
  });

  it('that a provider took and nobody reacted to goes on to the next step in its time', async () => {
    const mail = new FakeProvider('mail');
    await using w = await openWorker({
      providers: [new FakeProvider('push', () => sent, Channel.PUSH), mail],
    });
    await insertUser(w.db, { tokens: ['t'] });
    const key = await insertDelivery(w.db, { channels: [Channel.PUSH, Channel.EMAIL], afterMs: 600_000 });
    await w.log.push([recordOf(key)]);
    const waiting = await w.reaches(key, S.WAITING);
    expect(waiting).toMatchObject({ reason: 'TAKEN', stepChannel: Channel.PUSH });
    expect(dueInMs(waiting, w.clock)).toBe(600_000);
    expect(mail.calls).toHaveLength(0);
    await w.passes(600_000, 'mail', async () =>
      (await seeRow(w.db, key)).state === S.SENT ? true : undefined,
    );
    expect(mail.calls).toHaveLength(1);
  });
});

describe('a push that a provider took', () => {
  const pushThenMail = async (afterMs: number, ttlMs = 3_600_000) => {
    const mail = new FakeProvider('mail');
    const w = await openWorker({ providers: [new FakeProvider('push', () => sent, Channel.PUSH), mail] });
    await insertUser(w.db, { tokens: ['t'] });
    const channels = [Channel.PUSH, Channel.EMAIL];
    const key = await insertDelivery(w.db, { channels, afterMs, ttlMs });
    await w.log.push([recordOf(key)]);
    return { w, key, mail };
  };

  it('is followed at once by a mail that was planned at once', async () => {
    const { w, key, mail } = await pushThenMail(0);
    await using _w = w;
    const row = await w.passes(0, 'mail', async () => {
      const seen = await seeRow(w.db, key);
      return seen.state === S.SENT ? seen : undefined;
    });
    expect(row.stepChannel).toBe(Channel.EMAIL);
    expect(mail.calls).toHaveLength(1);
  });

  it('stays sent when its notification has expired before the next step', async () => {
    const { w, key, mail } = await pushThenMail(60_000, 30_000);
    await using _w = w;
    await w.reaches(key, S.WAITING);
    await w.db.query({ text: `update notifications set expires_at = now() - interval '1 s'` });
    const row = await w.passes(60_000, 'end', async () => {
      const seen = await seeRow(w.db, key);
      return seen.dueAt === null ? seen : undefined;
    });
    expect(row).toMatchObject({ state: S.SENT, reason: 'NO_ACK', stepChannel: Channel.PUSH });
    expect(mail.calls).toHaveLength(0);
  });
});
