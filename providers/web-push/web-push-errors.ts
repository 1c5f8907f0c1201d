// What a push service's answers mean. It is one of many, named by a person's subscription: that it fails says nothing of the others.
import type { AnswerRow } from '../answers.ts';

const rfc8030 = 'RFC 8030';
const autopush = 'https://mozilla-services.github.io/autopush-rs/errors.html';
const apple =
  'https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers';
const windows =
  'https://learn.microsoft.com/windows/apps/design/shell/tiles-and-notifications/push-request-response-headers';

export const webPushAnswers: readonly AnswerRow[] = [
  { status: '2xx', verdict: 'unknown', says: 'not the answer of a push service', source: rfc8030 },
  {
    status: '3xx',
    verdict: 'permanent',
    says: 'the endpoint leads elsewhere, and we do not follow',
    source: 'RFC 9110 §15.4',
  },
  { status: 400, verdict: 'permanent', says: 'the push service refuses the request', source: autopush },
  // The subscription was made with another key; if it is ours that is wrong, all are refused, and none may be deleted for it.
  { status: 401, verdict: 'permanent', says: 'our VAPID token is refused', source: autopush },
  {
    status: 403,
    verdict: 'permanent',
    says: 'our VAPID key is not the one of this subscription',
    source: apple,
  },
  { status: 404, verdict: 'gone', says: 'the subscription has expired', source: 'RFC 8030 §7.3' },
  { status: 406, verdict: 'transient', says: 'too many messages to this browser', source: windows },
  { status: 410, verdict: 'gone', says: 'the person has unsubscribed', source: autopush },
  { status: 413, verdict: 'permanent', says: 'the message is too big', source: 'RFC 8030 §7.2' },
  {
    status: 429,
    verdict: 'transient',
    says: 'the push service asks us to slow down',
    source: 'RFC 8030 §8.4',
  },
  { status: 504, verdict: 'unknown', says: 'a gateway got no answer in time', source: 'RFC 9110 §15.6.5' },
  { status: '5xx', verdict: 'transient', says: 'the push service fails', source: autopush },
];
