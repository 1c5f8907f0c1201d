// Takes messages of any channel and keeps them in the store, once per attempt; documented addresses provoke every outcome.
import { type Channel, Channel as Channels } from '../gen/carillon/v1/notification_pb.ts';
import { addressText, type DestinationAddress } from '../storage/addresses.ts';
import type { Database } from '../storage/database.ts';
import { clearSandboxMessage, keepSandboxMessage, trimSandboxMessages } from '../storage/sandbox.ts';
import type { Message, Outcome, Provider, SentMessage } from './provider.ts';

/** What an address can ask for: a device token `sandbox:<word>…`, an email `…+<word>@…`, a phone that ends in `<number>`. */
const sandboxWords = {
  unregistered: '0001',
  bounce: '0002',
  refused: '0003',
  transient: '0004',
  throttled: '0005',
  down: '0006',
  config: '0007',
  unknown: '0008',
} as const;

type Word = keyof typeof sandboxWords;
const words = Object.keys(sandboxWords) as Word[];

/** How long the sandbox asks for patience, milliseconds. */
const THROTTLED_MS = 5_000;
const TRIM_EVERY = 500;

function wordOf(address: DestinationAddress): Word | undefined {
  switch (address.kind) {
    case 'device':
      return words.find((word) => address.token.startsWith(`sandbox:${word}`));
    case 'email': {
      const local = address.email.slice(0, address.email.lastIndexOf('@'));
      return words.find((word) => local.endsWith(`+${word}`));
    }
    case 'phone':
      return words.find((word) => address.phone.endsWith(sandboxWords[word]));
  }
}

const refusals: Record<Word, Outcome> = {
  unregistered: {
    kind: 'permanent',
    reason: 'UNREGISTERED: the address is no longer registered',
    address: 'gone',
  },
  bounce: { kind: 'permanent', reason: '550 5.1.1 there is no such mailbox', address: 'invalid' },
  refused: { kind: 'permanent', reason: 'the message is refused' },
  transient: { kind: 'transient', reason: '451 4.3.0 try again later' },
  throttled: { kind: 'throttled', retryAfterMs: THROTTLED_MS },
  down: { kind: 'down', reason: 'the service does not answer' },
  config: { kind: 'config', reason: 'the credentials are refused' },
  unknown: { kind: 'unknown', reason: 'the connection was lost after the message was handed over' },
};

const kinds: Partial<Record<Channel, DestinationAddress['kind']>> = {
  [Channels.PUSH]: 'device',
  [Channels.EMAIL]: 'email',
  [Channels.SMS]: 'phone',
};

export interface SandboxOptions {
  db: Database;
  channel: Channel;
  /** `sandbox` when absent. */
  name?: string;
  /** Leaves some addresses of its channel to others, such as devices of real platforms. Takes all when absent. */
  serves?: (address: DestinationAddress) => boolean;
}

/** What was pushed can be taken back; a mail or a text message cannot, here as elsewhere. */
const clearing = (db: Database) => ({
  async clear({ attemptId }: SentMessage, { signal }: { signal: AbortSignal }): Promise<Outcome> {
    if (signal.aborted) return { kind: 'down', reason: 'the call took too long' };
    try {
      await clearSandboxMessage(db, attemptId);
      return { kind: 'sent', messageId: `sandbox-${attemptId}` };
    } catch (error) {
      return { kind: 'unknown', reason: error instanceof Error ? error.message : String(error) };
    }
  },
});

/** `unknown` keeps the message before it claims not to know, as a provider does whose answer was lost. */
export function sandboxProvider({ db, channel, name = 'sandbox', serves }: SandboxOptions): Provider {
  let taken = 0;
  return {
    ...(channel === Channels.PUSH && clearing(db)),
    name,
    channel,
    serves: (address) => address.kind === kinds[channel] && (serves?.(address) ?? true),
    async send(message: Message, { signal, attemptId }): Promise<Outcome> {
      const word = wordOf(message.address);
      if (word !== undefined && word !== 'unknown') return refusals[word];
      if (signal.aborted) return { kind: 'down', reason: 'the call took too long' };
      try {
        await keepSandboxMessage(db, {
          attemptId,
          tenant: message.tenant,
          notificationId: message.notificationId,
          userId: message.userId,
          channel,
          address: addressText(message.address),
          title: message.content.title,
          body: message.content.body,
        });
        if (taken++ % TRIM_EVERY === 0) await trimSandboxMessages(db, message.tenant);
      } catch (error) {
        return { kind: 'unknown', reason: error instanceof Error ? error.message : String(error) };
      }
      return word === undefined ? { kind: 'sent', messageId: `sandbox-${attemptId}` } : refusals[word];
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
