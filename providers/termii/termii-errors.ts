// What Termii's answers to a text message mean. It has sentences instead of codes; those that its documentation lists are told apart.
import type { AnswerRow } from '../answers.ts';

const ERRORS = 'https://developers.termii.com/error/';
const SEND = 'https://developers.termii.com/messaging-api/';

/** Which of Termii's sentences stands for which code in the table. */
export const termiiSentences: readonly { says: RegExp; code: string }[] = [
  { says: /insufficient (balance|credit|fund)/i, code: 'balance' },
  { says: /account is not active|deactivated|disabled/i, code: 'inactive' },
  {
    says: /not set ?up on this route|not enabled for this (route|country)|country.*inactive/i,
    code: 'route',
  },
  { says: /daily limit/i, code: 'daily_limit' },
  { says: /sender ?id/i, code: 'sender' },
  { says: /device not found/i, code: 'device' },
  { says: /invalid (phone|recipient|mobile|destination)|(phone|mobile) number is invalid/i, code: 'number' },
];

/** `code` is one of `termiiSentences`. */
export const termiiAnswers: readonly AnswerRow[] = [
  { code: 'balance', verdict: 'config', says: 'the account has no credit left', source: SEND },
  { code: 'inactive', verdict: 'config', says: 'the account is not active', source: ERRORS },
  // Another provider may have the route; the number itself is fine.
  { code: 'route', verdict: 'transient', says: 'the account has no route to this country', source: ERRORS },
  {
    code: 'daily_limit',
    verdict: 'throttled',
    waitMs: 600_000,
    says: 'the daily limit is reached',
    source: ERRORS,
  },
  { code: 'sender', verdict: 'config', says: 'the sender is not registered', source: ERRORS },
  { code: 'device', verdict: 'config', says: 'the device is not registered', source: ERRORS },
  { code: 'number', verdict: 'invalid', says: 'this is not a phone number', source: SEND },
  { status: 400, verdict: 'permanent', says: 'the message is refused', source: ERRORS },
  { status: 401, verdict: 'config', says: 'the API key is refused', source: ERRORS },
  { status: 403, verdict: 'config', says: 'the API key may not do this', source: ERRORS },
  { status: 404, verdict: 'config', says: 'there is no such API, or no such sender', source: ERRORS },
  { status: 405, verdict: 'config', says: 'the API does not take this method', source: ERRORS },
  { status: 422, verdict: 'permanent', says: 'the message cannot be processed', source: ERRORS },
  { status: 429, verdict: 'throttled', says: 'too many requests', source: ERRORS },
  { status: 500, verdict: 'down', says: 'the service fails', source: ERRORS },
];
