// What Apple's devices are sent, directly or through FCM: the alert, our words beside it, and the headers that go with them.
import { Lane } from '../gen/carillon/v1/notification_pb.ts';
import { limits } from '../runtime/limits.ts';
import type { Message, SentMessage } from './provider.ts';
import { clearWordsOf, imageOf, isUrgent, ttlSeconds, wordsOf } from './push-words.ts';

export interface ApplePush {
  headers: Readonly<Record<string, string>>;
  payload: Readonly<Record<string, unknown>>;
}

const seconds = (ms: number) => String(Math.floor(ms / 1000));

/** https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification */
export function applePush(message: Message, nowMs: number): ApplePush {
  const { content, lane, notificationId, expiresAtMs } = message;
  const alert = {
    ...(content.title !== '' && { title: content.title }),
    ...(content.body !== '' && { body: content.body }),
  };
  return {
    headers: {
      'apns-push-type': 'alert',
      'apns-priority': isUrgent(lane) ? '10' : '5',
      // 0 would be: try once and forget.
      'apns-expiration': seconds(nowMs + ttlSeconds(expiresAtMs, nowMs) * 1000),
      'apns-collapse-id': notificationId,
    },
    payload: {
      aps: {
        alert,
        ...(isUrgent(lane) && { sound: 'default' }),
        ...(lane === Lane.CRITICAL && { 'interruption-level': 'time-sensitive' }),
        // Lets the app's extension load the image.
        ...(imageOf(message) !== undefined && { 'mutable-content': 1 }),
      },
      ...wordsOf(message),
    },
  };
}

/** A push that nobody sees: it wakes the app, which takes the notification off. Apple allows priority 5 for it, no more. */
export function appleClear(sent: SentMessage, nowMs: number): ApplePush {
  return {
    headers: {
      'apns-push-type': 'background',
      'apns-priority': '5',
      'apns-expiration': seconds(nowMs + limits.pushClearSeconds * 1000),
      'apns-collapse-id': sent.notificationId,
    },
    payload: { aps: { 'content-available': 1 }, ...clearWordsOf(sent) },
  };
}
