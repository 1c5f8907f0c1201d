// What the statuses mean that a webhook of our own kind answers with; docs/providers/webhook.md tells receivers.
import type { AnswerRow } from '../answers.ts';

const source = 'docs/providers/webhook.md';

export const webhookAnswers: readonly AnswerRow[] = [
  { status: '3xx', verdict: 'config', says: 'redirects are not followed', source },
  { status: 401, verdict: 'config', says: 'the signature is refused', source },
  { status: 403, verdict: 'config', says: 'the signature is refused', source },
  { status: 404, verdict: 'permanent', says: 'the message is refused', source },
  { status: 408, verdict: 'transient', says: 'the message did not arrive in time', source },
  { status: 410, verdict: 'gone', says: 'the address is no longer in use', source },
  { status: 422, verdict: 'invalid', says: 'the address is none', source },
  { status: 425, verdict: 'transient', says: 'it is too early', source },
  { status: 429, verdict: 'throttled', says: 'too many messages', source },
  { status: '4xx', verdict: 'permanent', says: 'the message is refused', source },
  { status: 504, verdict: 'unknown', says: 'a gateway got no answer in time', source },
  { status: '5xx', verdict: 'down', says: 'the receiver fails', source },
];
