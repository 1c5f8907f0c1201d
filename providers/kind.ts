// What there is to know of one kind of provider: its settings, how to open it, and how to read what it calls back with.
import type { z } from 'zod';
import type { Channel } from '../gen/carillon/v1/notification_pb.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Ids } from '../runtime/ids.ts';
import type { Log } from '../runtime/log.ts';
import type { Provider } from './provider.ts';

interface OpenOptions<Settings> {
  /** The provider's name among those of its channel and tenant, such as `twilio` or `twilio-eu`. */
  name: string;
  settings: Settings;
  /** Where this provider's receipts come in, for providers that are told so with each message; undefined: nowhere. */
  receiptsUrl: string | undefined;
  clock: Clock;
  ids: Ids;
  log: Log;
}

/** A webhook call as it came: signatures are over these bytes. */
export interface ReceiptRequest {
  /** The URL under which the provider called, as it is known outside. */
  url: string;
  /** Lower-case names. */
  headers: Readonly<Record<string, string | undefined>>;
  body: Buffer;
}

/** What a receipt says of one message. Words of the field, not of a provider. */
export type ReceiptKind =
  | 'delivered'
  | 'deferred'
  | 'bounced'
  | 'failed'
  | 'opened'
  | 'clicked'
  | 'complained'
  | 'unsubscribed'
  /** An inbound message of the person, such as STOP. */
  | 'inbound';

export interface Receipt {
  /** The provider's own id of this event, or a digest of what it says: the same event has the same id. */
  eventId: string;
  kind: ReceiptKind;
  /** Our id of the call, when the provider carries it; else empty. */
  attemptId: string;
  /** The provider's id of the message, as `send` answered; empty when it does not say. */
  messageId: string;
  /** Of the person; empty when the provider does not say. */
  address: string;
  atMs: number;
  /** The address will never work (of `bounced`, `failed`). */
  permanent: boolean;
  /** One line for people, without address and content. For `inbound` the text itself. */
  reason: string;
}

export interface ProviderKind<Settings = unknown> {
  /** Such as `twilio`. */
  readonly kind: string;
  readonly channel: Channel;
  /** Strict: what is not known refuses. */
  readonly settings: z.ZodType<Settings>;
  /** Where `--from-env` finds each setting. */
  readonly environment: Readonly<Record<string, string>>;
  /** Settings that are kept sealed and never shown. */
  readonly secrets: readonly string[];
  open(options: OpenOptions<Settings>): Provider;
  /**
   * Reads a webhook call, after its signature was verified over the raw bytes and its time against the replay window.
   * Throws RECEIPT_FORGED when it is not the provider's, or too old; INVALID_REQUEST when it cannot be read. Absent: this kind calls nobody back.
   */
  readReceipts?(request: ReceiptRequest, settings: Settings, nowMs: number): Receipt[] | Promise<Receipt[]>;
}
