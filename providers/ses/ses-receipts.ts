// What Amazon SES says of a mail, through SNS: one receipt for each recipient of an event.
import type { Receipt, ReceiptKind, ReceiptRequest } from '../kind.ts';
import { attemptOf, receipt, record, text, timeMs, unreadable } from '../receipt-check.ts';
import type { SnsReader } from './sns.ts';

/** The tag that carries our id. */
export const ATTEMPT_TAG = 'carillon-attempt';

type Fields = Readonly<Record<string, unknown>>;

interface Said {
  kind: ReceiptKind;
  /** Whom it is about; the mail's own recipient when it does not say. */
  addresses: readonly string[];
  at: unknown;
  permanent?: boolean;
  /** Words of SES, without those of other servers, which name the address. */
  words: readonly unknown[];
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value.slice(0, 50) : []);

const recipients = (value: unknown): readonly Fields[] =>
  list(value)
    .map(record)
    .filter((one) => one !== undefined);

/** https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html. */
function bounce(detail: Fields): Said {
  const people = recipients(detail.bouncedRecipients);
  const sub = text(detail.bounceSubType);
  return {
    kind: sub === 'UnsubscribedRecipient' ? 'unsubscribed' : 'bounced',
    addresses: people.map((person) => text(person.emailAddress)),
    at: detail.timestamp,
    permanent: detail.bounceType === 'Permanent',
    words: [detail.bounceType, sub, people[0]?.status],
  };
}

function complaint(detail: Fields): Said {
  return {
    kind: 'complained',
    addresses: recipients(detail.complainedRecipients).map((person) => text(person.emailAddress)),
    at: detail.timestamp,
    words: [detail.complaintFeedbackType, detail.complaintSubType],
  };
}

function delay(detail: Fields): Said {
  const people = recipients(detail.delayedRecipients);
  return {
    kind: 'deferred',
    addresses: people.map((person) => text(person.emailAddress)),
    at: detail.timestamp,
    words: [detail.delayType, people[0]?.status],
  };
}

function subscription(detail: Fields): Said | undefined {
  if (record(detail.newTopicPreferences)?.unsubscribeAll !== true) return undefined;
  return { kind: 'unsubscribed', addresses: [], at: detail.timestamp, words: [] };
}

const plain = (kind: ReceiptKind, at: unknown, ...words: unknown[]): Said => ({
  kind,
  addresses: [],
  at,
  words,
});

/** What an event says; undefined: nothing that matters here, such as that SES took the mail. */
function saidBy(event: Fields): Said | undefined {
  const detail = (name: string): Fields => record(event[name]) ?? {};
  switch (event.eventType ?? event.notificationType) {
    case 'Delivery': {
      const { timestamp, recipients: people } = detail('delivery');
      return { kind: 'delivered', addresses: list(people).map(text), at: timestamp, words: [] };
    }
    case 'Bounce':
      return bounce(detail('bounce'));
    case 'Complaint':
      return complaint(detail('complaint'));
    case 'DeliveryDelay':
      return delay(detail('deliveryDelay'));
    case 'Reject':
      return plain('failed', undefined, 'Reject', detail('reject').reason);
    case 'Rendering Failure':
      return plain('failed', undefined, 'Rendering Failure');
    case 'Open':
      return plain('opened', detail('open').timestamp);
    case 'Click':
      return plain('clicked', detail('click').timestamp);
    case 'Subscription':
      return subscription(detail('subscription'));
    default:
      return undefined;
  }
}

/** Rejects with RECEIPT_FORGED, INVALID_REQUEST; UNREACHABLE when Amazon's certificate cannot be had now. */
export async function readSesReceipts(
  sns: SnsReader,
  { body }: ReceiptRequest,
  { topicArn }: { topicArn?: string | undefined },
  nowMs: number,
): Promise<Receipt[]> {
  const message = await sns.read(body, topicArn, nowMs);
  if (!message) return [];
  const event = eventOf(message.text);
  const said = saidBy(event);
  if (!said) return [];
  const mail = record(event.mail) ?? {};
  const [tag] = list(record(mail.tags)?.[ATTEMPT_TAG]);
  const [destination] = list(mail.destination);
  const addresses = said.addresses.length > 0 ? said.addresses : [text(destination)];
  return addresses.map((address, index) =>
    receipt({
      eventId: `${message.id}.${index}`,
      kind: said.kind,
      attemptId: attemptOf(tag),
      messageId: text(mail.messageId),
      address,
      atMs: timeMs(said.at ?? mail.timestamp, nowMs),
      permanent: said.permanent === true && said.kind === 'bounced',
      reason: said.words
        .map(text)
        .filter((word) => /^[\w. -]{1,64}$/.test(word))
        .join(' '),
    }),
  );
}

/** SNS says in words, not in JSON, that a destination was set up. */
function eventOf(message: string): Fields {
  if (message.startsWith('Successfully validated SNS topic')) return {};
  try {
    const event = record(JSON.parse(message));
    if (event) return event;
  } catch {
    throw unreadable('The message is not JSON.');
  }
  throw unreadable('The message is not a JSON object.');
}
