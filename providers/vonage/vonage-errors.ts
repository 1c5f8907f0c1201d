// What Vonage's answers to a text message mean, which come with HTTP 200 even when they refuse; and its delivery errors.
import type { AnswerRow } from '../answers.ts';

const SMS = 'https://developer.vonage.com/en/api-errors/sms';
const RECEIPTS =
  'https://api.support.vonage.com/hc/en-us/articles/204014733-Vonage-SMS-Delivery-Error-Codes-and-Descriptions';

const row = (status: number, verdict: AnswerRow['verdict'], says: string): AnswerRow => ({
  code: String(status),
  verdict,
  says,
  source: SMS,
});

/** `code` is the `status` of the message in the answer. */
export const vonageAnswers: readonly AnswerRow[] = [
  row(1, 'throttled', 'faster than the account may send'),
  row(2, 'config', 'a parameter is missing'),
  row(3, 'permanent', 'a parameter is not valid'),
  row(4, 'config', 'the credentials are refused'),
  row(5, 'down', 'the platform failed'),
  row(6, 'invalid', 'the number cannot be understood'),
  row(7, 'gone', 'the number is barred'),
  row(8, 'config', 'the account is suspended'),
  row(9, 'config', 'the account has no credit left'),
  row(10, 'throttled', 'too many connections at once'),
  row(11, 'config', 'the account may not use this API'),
  row(12, 'permanent', 'the text is too long'),
  row(14, 'config', 'the signature is refused'),
  row(15, 'config', 'the sender is not allowed'),
  row(22, 'permanent', 'the network code is not valid'),
  row(23, 'config', 'the address for receipts is not valid'),
  row(29, 'config', 'the account may only write to numbers on its list'),
  row(32, 'config', 'a signature and a secret were given at once'),
  row(33, 'gone', 'the number is no longer in use'),
];

export interface VonageFailure {
  code: string;
  permanent: boolean;
  says: string;
  source: string;
}

const failure = (code: number, permanent: boolean, says: string): VonageFailure => ({
  code: String(code),
  permanent,
  says,
  source: RECEIPTS,
});

/** `err-code` of a receipt. */
export const vonageFailures: readonly VonageFailure[] = [
  failure(1, false, 'no cause is known'),
  failure(2, false, 'the phone cannot be reached for now'),
  failure(3, true, 'the number is no longer in use'),
  failure(4, true, 'the person has barred messages'),
  failure(5, false, 'the number was carried to another network'),
  failure(6, false, 'the carrier took the message for spam'),
  failure(7, false, 'the phone was busy'),
  failure(8, false, 'the network failed'),
  failure(9, true, 'the person wants no messages from this service'),
  failure(10, false, 'the message is not valid'),
  failure(11, false, 'there is no route'),
  failure(12, true, 'the number cannot be found'),
  failure(13, false, 'the person is too young for it'),
  failure(14, false, 'the carrier blocks such messages to the number'),
  failure(15, false, 'the person has no credit'),
  failure(99, false, 'a general error'),
];
