// The sandbox keeps what it is given, once per attempt, and fails on demand.
import { describe, expect, it } from 'vitest';
import { Platform } from '../gen/carillon/v1/edge_pb.ts';
import { Channel } from '../gen/carillon/v1/notification_pb.ts';
import type { DestinationAddress } from '../storage/addresses.ts';
import { listSandboxMessages } from '../storage/sandbox.ts';
import { testDatabase } from '../test/support/database.ts';
import { message } from './message.fixture.ts';
import { providerContract } from './provider.contract.ts';
import type { Outcome } from './provider.ts';
import { sandboxProvider } from './sandbox.ts';

const signal = new AbortController().signal;
const device = (token: string): DestinationAddress => ({
  kind: 'device',
  deviceId: token,
  platform: Platform.SANDBOX,
  token,
  registeredAtMs: 0,
});
const mail = (word: string): DestinationAddress => ({ kind: 'email', email: `ada+${word}@example.org` });
const phone = (end: string): DestinationAddress => ({ kind: 'phone', phone: `+4144123${end}` });

type Provoked = Partial<Record<Outcome['kind'], string>>;
const words: Provoked = {
  transient: 'transient',
  throttled: 'throttled',
  permanent: 'bounce',
  down: 'down',
  config: 'config',
  unknown: 'unknown',
};
const numbers: Provoked = {
  transient: '0004',
  throttled: '0005',
  permanent: '0002',
  down: '0006',
  config: '0007',
  unknown: '0008',
};

const channels: [string, Channel, DestinationAddress, (kind: Outcome['kind']) => DestinationAddress][] = [
  ['push sandbox', Channel.PUSH, device('token-1'), (kind) => device(`sandbox:${words[kind]}-9`)],
  ['email sandbox', Channel.EMAIL, mail('shop'), (kind) => mail(words[kind]!)],
  ['SMS sandbox', Channel.SMS, phone('4567'), (kind) => phone(numbers[kind]!)],
];

for (const [name, channel, address, provoke] of channels)
  providerContract(`the ${name}`, async () => {
    const t = await testDatabase({ connections: 4 });
    return {
      provider: sandboxProvider({ db: t.db, channel }),
      address,
      foreign: channel === Channel.EMAIL ? device('x') : mail('x'),
      taken: async () =>
        (await listSandboxMessages(t.db, { tenant: 'default', count: 100 }))
          .map((kept) => kept.attemptId)
          .reverse(),
      clears:
        channel === Channel.PUSH &&
        (async () =>
          (await listSandboxMessages(t.db, { tenant: 'default', count: 100 }))
            .filter(({ clearedAtMs }) => clearedAtMs !== undefined)
            .map((kept) => kept.attemptId)),
      provoke,
      [Symbol.asyncDispose]: () => t[Symbol.asyncDispose](),
    };
  });

describe('the sandbox', () => {
  it('keeps one message per attempt, whoever repeats it', async () => {
    await using t = await testDatabase();
    const provider = sandboxProvider({ db: t.db, channel: Channel.PUSH });
    const sent = message(device('token-1'));
    for (let n = 0; n < 3; n++) await provider.send(sent, { signal, attemptId: sent.attemptId });
    const kept = await listSandboxMessages(t.db, { tenant: 'default', count: 10 });
    expect(kept).toHaveLength(1);
    expect(kept[0]).toMatchObject({
      attemptId: sent.attemptId,
      notificationId: sent.notificationId,
      userId: 'ada',
      channel: Channel.PUSH,
      address: 'token-1',
      title: 'Your order',
      body: 'It is on its way.',
    });
    expect(await listSandboxMessages(t.db, { tenant: 'other', count: 10 })).toEqual([]);
    expect(await listSandboxMessages(t.db, { tenant: 'default', channel: Channel.SMS, count: 10 })).toEqual(
      [],
    );
  });

  it('says that a device is gone when its token says so', async () => {
    await using t = await testDatabase();
    const provider = sandboxProvider({ db: t.db, channel: Channel.PUSH });
    const sent = message(device('sandbox:unregistered:42'));
    expect(await provider.send(sent, { signal, attemptId: sent.attemptId })).toMatchObject({
      kind: 'permanent',
      address: 'gone',
    });
  });
});
