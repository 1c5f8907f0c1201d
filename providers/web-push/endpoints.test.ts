// Endpoints are URLs that anybody can register: where they may lead, and with which settings.
import { describe, expect, it } from 'vitest';
import { Platform } from '../../gen/carillon/v1/edge_pb.ts';
import { ManualClock } from '../../runtime/clock.manual.ts';
import { systemIds } from '../../runtime/ids.ts';
import { silentLog } from '../../runtime/log.ts';
import { device } from '../device.fixture.ts';
import { message } from '../message.fixture.ts';
import type { Outcome, Provider } from '../provider.ts';
import { knownSubscription, startFakePushService, vapidAccount } from './fake-push-service.fixture.ts';
import { webPushKind } from './web-push.ts';

const browser = (subscription: object) => device(JSON.stringify(subscription), Platform.WEB);

function open(endpoints: string): Provider {
  const settings = webPushKind.settings.parse({ ...vapidAccount, endpoints });
  return webPushKind.open({
    name: 'web-push',
    settings,
    receiptsUrl: undefined,
    clock: new ManualClock(),
    ids: systemIds,
    log: silentLog,
  });
}

async function outcomeAt(
  endpoints: string,
  endpoint: string,
  signal = new AbortController().signal,
): Promise<Outcome> {
  await using provider = open(endpoints);
  const sent = message(browser({ ...knownSubscription(''), endpoint }));
  return await provider.send(sent, { signal, attemptId: sent.attemptId });
}

describe('an endpoint', () => {
  it.each([
    'https://127.0.0.1/x',
    'https://0x7f.1/x',
    'https://2130706433/x',
    'https://10.0.0.1/x',
    'https://169.254.169.254/latest/meta-data',
    'https://[::1]/x',
    'https://[::ffff:127.0.0.1]/x',
    'https://[fd00::1]/x',
    'http://push.example/x',
    'file:///etc/passwd',
  ])('%s is none on the public internet, and nobody is asked', async (url) => {
    expect(await outcomeAt('public', url)).toMatchObject({ kind: 'permanent', address: 'invalid' });
  });

  it('whose name leads into our own network is not called, and its subscription stays', async () => {
    await using fake = await startFakePushService(new ManualClock());
    const url = fake.server.url.replace('http://127.0.0.1', 'https://localhost');
    const outcome = await outcomeAt('public', `${url}/push/known?v=1`);
    expect(outcome).toEqual({ kind: 'permanent', reason: expect.stringContaining('private') });
    expect(fake.server.requests).toHaveLength(0);
  });

  it.each([
    'https://push.example/x',
    'https://fcm.googleapis.com.evil.example/x',
    'https://evilpush.apple.com/x',
    'https://notify.windows.com.evil.example/x',
    'https://8.8.8.8/x',
  ])('%s is of no browser that is known', async (url) => {
    expect(await outcomeAt('known', url)).toMatchObject({ kind: 'permanent', address: 'invalid' });
  });

  it.each([
    'https://fcm.googleapis.com/fcm/send/x',
    'https://updates.push.services.mozilla.com/wpush/v2/x',
    'https://web.push.apple.com/x',
    'https://wns2-by3p.notify.windows.com/w/?token=x',
  ])('%s is of a browser that is known', async (url) => {
    const outcome = await outcomeAt('known', url, AbortSignal.abort());
    expect(outcome.kind).toBe('transient');
  });
});

describe('the settings of Web Push', () => {
  it.each([
    ['a public key of another pair', { publicKey: knownSubscription('').keys.p256dh }],
    ['a private key that is none', { privateKey: 'A'.repeat(43) }],
    ['a subject with a space, which Apple refuses', { subject: 'mailto: mesh@example.org' }],
    ['a subject that nobody can be reached at', { subject: 'mailto:admin@localhost' }],
    ['what nobody knows', { colour: 'red' }],
  ])('with %s are refused, and the key is not told', (_what, changes) => {
    const parsed = webPushKind.settings.safeParse({ ...vapidAccount, ...changes });
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error)).not.toContain(vapidAccount.privateKey);
  });
});
