// What Twilio's answers to a message mean, and what its later error codes say of the number.
import type { AnswerRow } from '../answers.ts';

const page = (code: number) => `https://www.twilio.com/docs/api/errors/${code}`;

type Row = Omit<AnswerRow, 'source' | 'status' | 'code'>;

const row = (
  code: number,
  verdict: AnswerRow['verdict'],
  says: string,
  more: Partial<Row> = {},
): AnswerRow => ({
  code: String(code),
  verdict,
  says,
  ...more,
  source: page(code),
});

/** By Twilio's own code, whatever the HTTP status; nearly all come with 400. */
export const twilioAnswers: readonly AnswerRow[] = [
  row(20003, 'config', 'the credentials are refused'),
  row(20005, 'config', 'the account is not active'),
  row(20404, 'config', 'there is no such account'),
  row(20429, 'throttled', 'too many requests'),
  row(14107, 'throttled', 'the sending rate is exceeded'),
  row(21211, 'invalid', 'this is not a phone number'),
  row(21212, 'config', 'the sender is not a valid number'),
  row(21214, 'invalid', 'the number cannot be reached'),
  row(21217, 'invalid', 'this does not look like a phone number'),
  // Another provider may have a route, or the permission; the number itself is fine.
  row(21408, 'transient', 'the account may not send to this region'),
  row(21612, 'transient', 'there is no route from this sender to the number'),
  row(21602, 'permanent', 'the text is empty'),
  row(21603, 'config', 'a sender is missing'),
  row(21604, 'invalid', 'the number is missing'),
  row(21606, 'config', 'the sender cannot send text messages'),
  row(21610, 'gone', 'the person answered STOP to this sender'),
  row(21611, 'throttled', 'the queue of this sender is full', { waitMs: 60_000 }),
  row(21614, 'invalid', 'the number is not a mobile number'),
  row(21617, 'permanent', 'the text is too long'),
  row(21635, 'invalid', 'the number is a landline'),
  row(21659, 'config', 'the sender is not a number of this account'),
  row(21660, 'config', 'the sender does not belong to this account'),
  row(21701, 'config', 'there is no such messaging service'),
  row(21703, 'config', 'the messaging service has no numbers'),
  row(21705, 'config', 'the messaging service is not valid'),
  row(30001, 'throttled', 'the queue of the account is full', { waitMs: 60_000 }),
  row(30002, 'config', 'the account is suspended'),
  row(30034, 'config', 'the sender is not registered for A2P 10DLC'),
  row(63038, 'throttled', 'the daily limit of the account is reached', { waitMs: 600_000 }),
];

export interface TwilioFailure {
  code: string;
  /** The number will never work. */
  permanent: boolean;
  says: string;
  source: string;
}

const failure = (code: number, permanent: boolean, says: string): TwilioFailure => ({
  code: String(code),
  permanent,
  says,
  source: page(code),
});

/** Codes of messages that were taken, and not delivered. */
export const twilioFailures: readonly TwilioFailure[] = [
  failure(21610, true, 'the person answered STOP to this sender'),
  failure(30001, false, 'the queue was full'),
  failure(30002, false, 'the account is suspended'),
  failure(30003, false, 'the phone is switched off or cannot be reached'),
  failure(30004, false, 'the message is blocked'),
  failure(30005, true, 'the number is not known'),
  failure(30006, true, 'the number is a landline, or its carrier takes no text messages'),
  failure(30007, false, 'the carrier took the message for spam'),
  failure(30008, false, 'no cause is known'),
  failure(30036, false, 'its time had passed'),
];
