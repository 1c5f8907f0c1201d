// What Amazon SES answers to a mail mean. Codes are its types of errors; two of them mean different things by their sentence.
import type { AnswerRow } from '../answers.ts';

const SEND = 'https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html';
const COMMON = 'https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html';
const QUOTAS = 'https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html';

/** Types of errors whose sentence says which of two things it is: then the word after the dot is added to the type. */
export const sesSentences: readonly { type: string; says: RegExp; word: string }[] = [
  { type: 'MessageRejected', says: /not verified/i, word: 'NotVerified' },
  {
    type: 'BadRequestException',
    says: /illegal address|missing final '?@domain|local address|domain (contains|starts|ends)|invalid (email )?address/i,
    word: 'Address',
  },
  { type: 'ThrottlingException', says: /daily/i, word: 'Daily' },
  { type: 'TooManyRequestsException', says: /daily/i, word: 'Daily' },
  { type: 'LimitExceededException', says: /daily/i, word: 'Daily' },
];

const DAILY_MS = 600_000;

const row = (
  status: number,
  code: string,
  verdict: AnswerRow['verdict'],
  says: string,
  source = SEND,
  waitMs?: number,
): AnswerRow => ({ status, code, verdict, says, source, ...(waitMs !== undefined && { waitMs }) });

const DAILY = 'the quota of the day is used up';

export const sesAnswers: readonly AnswerRow[] = [
  row(400, 'AccountSuspendedException', 'config', 'the account is suspended'),
  row(400, 'SendingPausedException', 'config', 'sending is paused'),
  row(400, 'MailFromDomainNotVerifiedException', 'config', 'the domain of the sender is not verified'),
  row(400, 'MessageRejected.NotVerified', 'config', 'an identity is not verified'),
  row(400, 'MessageRejected', 'permanent', 'the mail is refused'),
  row(400, 'BadRequestException.Address', 'invalid', 'this is not a mail address'),
  row(400, 'BadRequestException', 'permanent', 'the request is refused'),
  row(400, 'LimitExceededException.Daily', 'throttled', DAILY, QUOTAS, DAILY_MS),
  row(400, 'LimitExceededException', 'throttled', 'a limit is reached', SEND, 60_000),
  row(404, 'NotFoundException', 'config', 'there is no such configuration set'),
  row(429, 'TooManyRequestsException.Daily', 'throttled', DAILY, QUOTAS, DAILY_MS),
  row(429, 'TooManyRequestsException', 'throttled', 'too many requests'),
  row(400, 'ThrottlingException.Daily', 'throttled', DAILY, QUOTAS, DAILY_MS),
  row(400, 'ThrottlingException', 'throttled', 'the sending rate is exceeded', QUOTAS),
  row(403, 'AccessDeniedException', 'config', 'the credentials may not send', COMMON),
  row(403, 'ExpiredTokenException', 'config', 'the credentials have ended', COMMON),
  row(403, 'IncompleteSignature', 'config', 'the signature is refused', COMMON),
  row(403, 'InvalidSignatureException', 'config', 'the signature is refused', COMMON),
  row(403, 'SignatureDoesNotMatch', 'config', 'the signature is refused', COMMON),
  row(403, 'MissingAuthenticationToken', 'config', 'the signature is missing', COMMON),
  row(403, 'NotAuthorized', 'config', 'the credentials may not send', COMMON),
  row(403, 'OptInRequired', 'config', 'the account does not have this service', COMMON),
  row(403, 'UnrecognizedClientException', 'config', 'the credentials are refused', COMMON),
  row(400, 'RequestExpired', 'config', 'our clock is wrong', COMMON),
  row(400, 'ValidationError', 'permanent', 'the request is refused', COMMON),
  row(500, 'InternalFailure', 'down', 'the service fails', COMMON),
  row(503, 'ServiceUnavailable', 'down', 'the service is not available', COMMON),
];
