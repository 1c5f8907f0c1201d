// The port to a provider: hand over one message to one address, and say definitely what became of it, or that nobody knows.
import type { Channel, Content, Lane } from '../gen/carillon/v1/notification_pb.ts';
import type { DestinationAddress } from '../storage/addresses.ts';

/** What is sent: one notification to one address of one user. */
export interface Message {
  tenant: string;
  notificationId: string;
  userId: string;
  /** Where to. A provider is only given addresses that it `serves`. */
  address: DestinationAddress;
  category: string;
  lane: Lane;
  content: Content;
  /** When it is no longer worth delivering, milliseconds since the epoch. */
  expiresAtMs: number;
  traceparent: string | undefined;
  /** An https URL of its own, where a POST unsubscribes this person (RFC 8058); absent: there is nothing to unsubscribe from. For mails. */
  unsubscribeUrl?: string;
  /** Our id of this call, a UUIDv7. Goes out with the message, in the field that the provider's receipts bring back. */
  attemptId: string;
}

/** A message that went out, or may have, and is to be taken back. */
export interface SentMessage {
  tenant: string;
  notificationId: string;
  userId: string;
  address: DestinationAddress;
  lane: Lane;
  traceparent: string | undefined;
  /** Of the call that sent it. */
  attemptId: string;
  /** The provider's own name for it; empty when its answer was lost. */
  messageId: string;
}

interface SendOptions {
  /** Aborts when the call has taken too long. The provider must then settle at once, by what it knows. */
  signal: AbortSignal;
  attemptId: string;
}

/**
 * What became of one call. All but `unknown` are definite: the message went out (`sent`), or it certainly did not.
 *
 * | outcome   | this delivery                          | the provider                              |
 * |-----------|----------------------------------------|-------------------------------------------|
 * | sent      | taken                                  | works                                     |
 * | transient | another provider, else later           | works (this message was deferred)         |
 * | throttled | another provider, else later, no try used | pauses for `retryAfterMs`; not a failure |
 * | permanent | never by this address                  | works, unless `policy`                    |
 * | down      | another provider, else later           | counts against its breaker                |
 * | config    | another provider, else later           | counts against its breaker; an operator must act |
 * | unknown   | AMBIGUOUS, settled by policy           | counts against its breaker                |
 */
export type Outcome =
  | { kind: 'sent'; messageId: string }
  | { kind: 'transient'; reason: string; retryAfterMs?: number }
  | { kind: 'throttled'; reason?: string; retryAfterMs: number }
  | {
      kind: 'permanent';
      reason: string;
      /** The address is at fault: it never existed (`invalid`), or no longer does (`gone`). */
      address?: 'invalid' | 'gone';
      /** The refusal is about us as a sender: it counts against the provider's breaker, and never against the address. */
      policy?: true;
    }
  | { kind: 'down'; reason: string }
  | { kind: 'config'; reason: string }
  | { kind: 'unknown'; reason: string };

export type OutcomeKind = Outcome['kind'];

export interface Provider extends AsyncDisposable {
  /** Unique within its channel; a label of metrics, such as `smtp`. */
  readonly name: string;
  readonly channel: Channel;
  /** Whether this provider can reach the address at all, such as a device of its platform. */
  serves(address: DestinationAddress): boolean;
  /**
   * Makes one call, without retries of its own. Never rejects: what it cannot tell is `unknown`. `reason` is one line
   * for people, at best the provider's own sentence; it holds no address and no content.
   */
  send(message: Message, options: SendOptions): Promise<Outcome>;
  /**
   * Takes a message off the device again, because its person has it already; absent: this provider cannot. Doing so
   * twice, or for a message that never came, is `sent` too and changes nothing. Never rejects, as `send`.
   */
  clear?(sent: SentMessage, options: { signal: AbortSignal }): Promise<Outcome>;
}
