// What SendGrid's answers to a mail mean. It has no codes of its own: the status, and the field that it complains about.
import type { AnswerRow } from '../answers.ts';

const ERRORS = 'https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/errors';
const MAIL = 'https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors';
const LIMITS =
  'https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits';

/** `code` is the `field` of the first error. */
export const sendgridAnswers: readonly AnswerRow[] = [
  {
    status: 400,
    code: 'personalizations.0.to.0.email',
    verdict: 'invalid',
    says: 'this is not a mail address',
    source: MAIL,
  },
  { status: 400, code: 'from.email', verdict: 'config', says: 'the sender is not valid', source: MAIL },
  { status: 400, code: 'from', verdict: 'config', says: 'the sender is not valid', source: MAIL },
  { status: 400, verdict: 'permanent', says: 'the mail is refused', source: ERRORS },
  {
    status: 401,
    verdict: 'config',
    says: 'the API key is refused, or the account has no credits left',
    source: ERRORS,
  },
  // A block for too many bad requests, a sender that nobody verified, a key without this right: all are about us.
  {
    status: 403,
    verdict: 'config',
    says: 'the account may not send so, or is blocked for a while',
    source: ERRORS,
  },
  { status: 406, verdict: 'config', says: 'the API does not answer in this format', source: ERRORS },
  { status: 413, verdict: 'permanent', says: 'the mail is too large', source: MAIL },
  { status: 429, verdict: 'throttled', says: 'too many requests', source: LIMITS },
  {
    status: 451,
    verdict: 'permanent',
    says: 'the mail may not be sent for legal reasons',
    source: 'RFC 7725',
  },
  { status: 500, verdict: 'down', says: 'the service fails', source: ERRORS },
  { status: 503, verdict: 'down', says: 'the service is not available', source: MAIL },
];
